"""How well the bundled model draws what it is asked: `python -m bench.storybook --state DIR`.

Captions are of combinations that training never met. Two judges answer: the critic, which the same
recipe trains, and exact measures that know no network. Both are first checked on drawn pictures.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

from training.storybook.critic import TEST_SEEDS, Critic, critic_accuracy
from training.storybook.evaluation import (
    EVALUATION_SEED,
    Drawn,
    by_critic,
    by_measures,
    choose_guidance,
    draw_scenes,
    unseen_scenes,
)
from training.storybook.export import CHECKSUMS, weight_bytes
from training.storybook.machine import fast_bfloat16, use_one_thread
from training.storybook.measures import Share
from training.storybook.sampling import Sampling, sheet
from training.storybook.untyped import Pipeline, diffusers
from training.storybook.workshop import StorybookXl, Workshop
from training.storybook.world.drawing import draw

MODEL = Path("server/assets/storybook-xl")
RESULT = Path(
    "bench/results/storybook/storybook-xl.json"
)  # a folder down: not a row of `make bench`
SHEET = Path("docs/images/storybook-xl.png")
Json = dict[str, object]


@dataclass(frozen=True)
class Extent:
    """How much is drawn."""

    captions: int
    guidance_captions: int
    checks: int  # drawn pictures on which the exact measures are checked


def main() -> None:
    """Measure, print and keep the result."""
    parser = argparse.ArgumentParser(prog="python -m bench.storybook", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the training's folder")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--captions", type=int, default=200)
    parser.add_argument("--guidance-captions", type=int, default=64)
    arguments = parser.parse_args()
    use_one_thread()
    critic = Workshop(arguments.state, StorybookXl(), fast_bfloat16()).critic()
    extent = Extent(arguments.captions, arguments.guidance_captions, 60)
    result, drawn = measure(arguments.model, critic, extent)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    SHEET.parent.mkdir(parents=True, exist_ok=True)
    sheet(drawn.pictures[:40], columns=8, enlarged=2).save(SHEET, optimize=True)
    print(json.dumps(result, indent=2))
    print("\n".join(drawn.captions[:40]))


def measure(model: Path, critic: Critic, extent: Extent) -> tuple[Json, Drawn]:
    """Return the result and the pictures it was measured on."""
    pipeline = _load(model)
    how = Sampling()
    scales = choose_guidance(pipeline, critic, extent.guidance_captions, how)
    best = Sampling(how.num_inference_steps, max(scales, key=scales.__getitem__), how.size)
    began = time.monotonic()
    drawn = draw_scenes(pipeline, unseen_scenes(extent.captions), EVALUATION_SEED, best)
    seconds = (time.monotonic() - began) / extent.captions
    scores = {"critic": by_critic(critic, drawn), "exact": by_measures(drawn)}
    result: Json = {
        "model": model.name,
        "checksums": (model / CHECKSUMS).read_text().splitlines(),
        "weight_bytes": weight_bytes(model),
        "captions": "combinations that training never met",
        "num_inference_steps": best.num_inference_steps,
        "guidance_scale": best.guidance_scale,
        "guidance_tried": {str(scale): round(score, 4) for scale, score in scales.items()},
        "size": best.size,
        "seconds_per_picture_one_thread_batch_16": round(seconds, 3),
        "scores": {judge: _rows(shares) for judge, shares in scores.items()},
        "scores_against_wrong_captions": {
            "critic": _rows(by_critic(critic, _misassigned(drawn))),
            "exact": _rows(by_measures(_misassigned(drawn))),
        },
        "judges_on_drawn_pictures": {
            "critic": critic_accuracy(critic, TEST_SEEDS, how.size),
            "exact": _rows(by_measures(_drawn_by_hand(extent.checks, how.size))),
        },
    }
    return result, drawn


def _load(folder: Path) -> Pipeline:
    pipeline = diffusers().StableDiffusionXLPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _drawn_by_hand(count: int, size: int) -> Drawn:
    """Return pictures from the world itself, which both judges ought to get right."""
    scenes = unseen_scenes(count)
    pictures = (draw(scene, EVALUATION_SEED + i, size, size) for i, scene in enumerate(scenes))
    return Drawn(tuple(scenes), ("",) * count, tuple(pictures))


def _misassigned(drawn: Drawn) -> Drawn:
    """Return the pictures with each other's scenes: what a judge says yes to by chance."""
    scenes = (*drawn.scenes[1:], drawn.scenes[0])
    return Drawn(scenes, drawn.captions, drawn.pictures)


def _rows(shares: dict[str, Share]) -> Json:
    return {
        name: {
            "right": share.right,
            "of": share.of,
            "share": round(share.value, 4),
            "interval_95": [round(bound, 4) for bound in share.interval],
        }
        for name, share in shares.items()
    }


if __name__ == "__main__":
    main()
