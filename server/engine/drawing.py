"""One picture on its way through the worker, from the message to the encoded file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import diffusers
import torch

from server.domain.errors import GenerationFailedError
from server.domain.recipes import Engine, Recipe
from server.engine.families.base import FamilyPipeline, Trajectory
from server.engine.loading import dtype_of
from server.engine.messages import Draw
from server.engine.schedulers import OWN


@dataclass(slots=True)
class Drawing:
    """A picture under way. `previewing` while a preview of it is being made elsewhere."""

    message: Draw
    index: int
    family: FamilyPipeline
    trajectory: Trajectory
    started_at: float
    previewed_at: float
    previewing: bool = False

    @property
    def draw(self) -> int:
        """Number of the request that it belongs to."""
        return self.message.draw


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


def recipe_of(message: Draw, index: int, engine: Engine) -> Recipe:
    """Return picture `index`'s own recipe."""
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
        guidance_rescale=asked.guidance_rescale,
        clip_skip=asked.clip_skip,
        original_size=asked.original_size,
        crops_coords_top_left=asked.crops_coords_top_left,
        target_size=asked.target_size,
        negative_original_size=asked.negative_original_size,
        negative_crops_coords_top_left=asked.negative_crops_coords_top_left,
        negative_target_size=asked.negative_target_size,
        format=asked.format,
        profile="exact",
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
