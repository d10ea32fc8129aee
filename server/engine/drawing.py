"""One picture on its way through the worker, from the message to the encoded file."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import diffusers
import torch

from server.domain.errors import GenerationFailedError
from server.domain.plans import RESIDENT, Plan
from server.domain.recipes import Engine, Recipe
from server.engine.adapters.mix import Mix
from server.engine.curve import RowCurve
from server.engine.families.base import FamilyPipeline, Pictures, Trajectory
from server.engine.kept import Kept
from server.engine.loading import dtype_of
from server.engine.messages import Draw
from server.engine.order import Place
from server.engine.schedulers import OWN

_UNMEASURED_SECONDS = 0.1  # of one row's step, until the first was timed


@dataclass(slots=True, eq=False)
class Waiting:
    """A picture that is not begun.

    Attributes:
        pictures: its sources, which are being decoded elsewhere.
        mix: its adapters, where they are being read elsewhere.
        is_short: there was no memory for it in full, and it may be drawn in fewer bits.
    """

    message: Draw
    index: int
    arrived_at: float
    pictures: Future[Pictures]
    mix: Future[Mix] | None = None
    is_short: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether nothing of it is still on its way."""
        return self.pictures.done() and (self.mix is None or self.mix.done())


@dataclass(slots=True, eq=False)
class Drawing:
    """A picture under way.

    Attributes:
        kept: its model, and how that is held.
        curve: of its model and bucket.
        device_seconds: its part of the ticks that it was in.
        previewing: while a preview of it is being made elsewhere.
    """

    message: Draw
    index: int
    kept: Kept
    trajectory: Trajectory
    curve: RowCurve
    arrived_at: float
    started_at: float
    previewed_at: float
    device_seconds: float = 0.0
    previewing: bool = False

    @property
    def family(self) -> FamilyPipeline:
        """Its model."""
        return self.kept.family

    @property
    def draw(self) -> int:
        """Number of the request that it belongs to."""
        return self.message.draw

    @property
    def rows(self) -> int:
        """How many rows of a forward it takes."""
        return len(self.trajectory.encoded.rows)

    @property
    def place(self) -> Place:
        """What decides its turn."""
        step = self.curve.seconds(self.rows) or self.rows * _UNMEASURED_SECONDS
        return Place(
            bucket=(self.kept.key, self.trajectory.plan.block_cache, self.trajectory.bucket),
            arrived_at=self.arrived_at,
            seconds_left=step * self.trajectory.predictions_left,
            seconds_done=step * self.trajectory.step_index,
        )


def engine_of(device: torch.device) -> Engine:
    """Return what a recipe says about the software and device."""
    try:
        greenroom = version("greenroom")
    except PackageNotFoundError:
        greenroom = "source"  # run from a checkout that is not installed
    return Engine(
        greenroom=greenroom,
        torch=torch.__version__,
        diffusers=diffusers.__version__,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        dtype=str(dtype_of(device)).removeprefix("torch."),
    )


def recipe_of(message: Draw, index: int, engine: Engine, plan: Plan = RESIDENT) -> Recipe:
    """Return picture `index`'s own recipe, drawn with `plan`."""
    asked = message.request
    return Recipe(
        model=asked.model,
        fingerprint=message.model.fingerprint,
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        width=asked.width,
        height=asked.height,
        seed=asked.seed + index,
        num_inference_steps=asked.num_inference_steps,
        guidance_scale=asked.guidance_scale,
        true_cfg_scale=asked.true_cfg_scale,
        scheduler=asked.scheduler or message.model.scheduler or OWN,
        max_sequence_length=asked.max_sequence_length,
        image=_sha256(message.sources.image),
        strength=asked.strength,
        mask=_sha256(message.sources.mask),
        outpaint=asked.outpaint,
        references=tuple(hashlib.sha256(data).hexdigest() for data in message.sources.references),
        adapters=asked.adapters,
        guidance_rescale=asked.guidance_rescale,
        clip_skip=asked.clip_skip,
        original_size=asked.original_size,
        crops_coords_top_left=asked.crops_coords_top_left,
        target_size=asked.target_size,
        negative_original_size=asked.negative_original_size,
        negative_crops_coords_top_left=asked.negative_crops_coords_top_left,
        negative_target_size=asked.negative_target_size,
        format=asked.format,
        profile=plan.profile,
        plan=plan.name,
        engine=engine,
        created_at=datetime.now(UTC),
    )


def check_finite(latents: torch.Tensor, message: Draw) -> None:
    """Refuse to call numbers that ran away a picture.

    Raises:
        GenerationFailedError: some latents are infinite or no numbers.
    """
    if not bool(torch.isfinite(latents).all()):
        asked = message.request
        raise GenerationFailedError(
            f"the numbers ran away with {asked.num_inference_steps} steps and scheduler "
            f"'{asked.scheduler or OWN}'; take more steps or another scheduler"
        )


def _sha256(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()
