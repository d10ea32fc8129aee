from __future__ import annotations

from typing import Any

import pytest

from server.domain.images import ImageFormat, Outpaint, ResolvedRequest
from server.domain.models import Family
from server.domain.work import flops, rows_per_step

IMAGE, MASK = "0" * 26, "1" * 26
WHOLE: dict[str, Any] = {
    "model": "flux",
    "prompt": "a fox",
    "negative_prompt": None,
    "width": 1024,
    "height": 1024,
    "num_images": 1,
    "seed": 1,
    "num_inference_steps": 20,
    "guidance_scale": 3.5,
    "true_cfg_scale": None,
    "scheduler": None,
    "max_sequence_length": 512,
    "image": None,
    "strength": None,
    "format": ImageFormat.PNG,
}


def request(**values: object) -> ResolvedRequest:
    return ResolvedRequest.model_validate(WHOLE | values)


def work(**values: object) -> float:
    return flops(Family.FLUX, request(**values))


def test_references_are_tokens_in_every_step() -> None:
    # Counted on the real network: 8192 tokens take 2.22 times as much as 4096.
    assert work(references=(IMAGE,)) / work() == pytest.approx(2.22, rel=0.1)
    # They are of one size whatever is drawn, and however many they are.
    small = {"width": 512, "height": 512}
    assert work(references=(IMAGE,), **small) > 3 * work(**small)
    assert work(references=(IMAGE, MASK)) == work(references=(IMAGE,))


def test_a_mask_costs_an_encoding_and_nothing_in_a_step() -> None:
    plain = work(image=IMAGE, strength=1.0)
    assert plain > work()
    masked = work(image=IMAGE, strength=1.0, mask=MASK)
    assert masked - plain == pytest.approx(plain - work())
    assert masked == work(image=IMAGE, strength=1.0, outpaint=Outpaint(left=0.5))
    assert masked / work() == pytest.approx(1, rel=0.01)


def test_strength_leaves_steps_out_with_a_mask_as_without() -> None:
    assert work(image=IMAGE, mask=MASK, strength=0.5) < 0.55 * work(image=IMAGE, mask=MASK)


def test_true_guidance_takes_two_rows_and_the_networks_own_takes_one() -> None:
    assert rows_per_step(Family.FLUX, request(guidance_scale=30.0)) == 1
    assert rows_per_step(Family.FLUX, request(true_cfg_scale=2.0)) == 2
    guided = work(true_cfg_scale=2.0, references=(IMAGE,))
    assert guided / work(references=(IMAGE,)) == pytest.approx(2, rel=0.02)


def test_work_grows_with_pictures_and_with_pixels() -> None:
    assert work(num_images=3) == pytest.approx(3 * work())
    assert work(width=2048, height=2048) > 4 * work()
