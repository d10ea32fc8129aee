"""One picture on its way through the worker, from the message to the encoded file."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import diffusers
import torch
from PIL import Image, ImageOps

from server.domain.errors import GenerationFailedError, UnreadableImageError
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
        image=None if message.source is None else hashlib.sha256(message.source).hexdigest(),
        strength=asked.strength,
        format=asked.format,
        profile="exact",
        engine=engine,
        created_at=datetime.now(UTC),
    )


def source_image(message: Draw) -> Image.Image | None:
    """Return the picture to start from, cut and scaled to the size to draw.

    What is too wide or too high is cut off around the middle; nothing is stretched.

    Raises:
        UnreadableImageError: the bytes are no picture.
    """
    if message.source is None:
        return None
    size = message.request.width, message.request.height
    try:
        with Image.open(io.BytesIO(message.source)) as image:
            return ImageOps.fit(image.convert("RGB"), size, Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(
            "the picture to start from cannot be read", parameter="image"
        ) from error


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
