"""Requests with every value set, and the loop that draws one with the family verbs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from PIL import Image

from server.domain.images import ImageFormat, ResolvedRequest
from server.domain.models import EngineModel
from server.domain.plans import Plan
from server.engine.families.base import FamilyPipeline, Pictures, Trajectory
from server.engine.loading import load

DEFAULTS: dict[str, Any] = {
    "model": "tiny",
    "prompt": "a red fox in the snow",
    "negative_prompt": None,
    "width": 64,
    "height": 64,
    "num_images": 1,
    "seed": 1,
    "num_inference_steps": 4,
    "guidance_scale": 5.0,
    "true_cfg_scale": None,
    "scheduler": None,
    "max_sequence_length": None,
    "image": None,
    "strength": None,
    "format": ImageFormat.PNG,
}


def request(**values: object) -> ResolvedRequest:
    return ResolvedRequest.model_validate(DEFAULTS | values)


def held(model: EngineModel, plan: Plan, device: torch.device | None = None) -> FamilyPipeline:
    """Return a model on its device as `plan` says."""
    family = load(model, device or torch.device("cpu"), plan)
    family.weights.follow(plan)
    family.weights.bring()
    return family


@torch.inference_mode()
def begin(
    family: FamilyPipeline,
    asked: ResolvedRequest,
    source: Image.Image | None = None,
    index: int = 0,
    *,
    mask: Image.Image | None = None,
    references: tuple[Image.Image, ...] = (),
) -> Trajectory:
    return family.prepare(asked, family.encode(asked), index, Pictures(source, mask, references))


@torch.inference_mode()
def draw_together(family: FamilyPipeline, arrivals: Sequence[tuple[int, Trajectory]]) -> None:
    """Draw rows that come at the given ticks; those of one bucket share every forward."""
    tick = 0
    while not all(row.is_done for _, row in arrivals):
        buckets: dict[Hashable, list[Trajectory]] = {}
        for arrival, row in arrivals:
            if arrival <= tick and not row.is_done:
                buckets.setdefault(row.bucket, []).append(row)
        for rows in buckets.values():
            for row, noise_pred in zip(rows, family.predict(rows), strict=True):
                row.advance(noise_pred)
        tick += 1


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape
    return (ours - theirs).abs().max().item()


@torch.inference_mode()
def finish(family: FamilyPipeline, rows: Sequence[Trajectory]) -> None:
    """Draw all rows to their end, those still under way in one forward at every step."""
    while under_way := [row for row in rows if not row.is_done]:
        for row, noise_pred in zip(under_way, family.predict(under_way), strict=True):
            row.advance(noise_pred)
