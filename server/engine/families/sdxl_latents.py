"""Where an SDXL picture starts: noise, a noisy picture, or a picture with a hole in it.

Every draw from the generator comes in the order in which the pipelines draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import SchedulerMixin, StableDiffusionXLPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch.nn import functional

from server.domain.errors import RequestRefusedError
from server.domain.images import ResolvedRequest
from server.engine.families.base import Blend, Pictures, from_pixels
from server.engine.plans.tiles import decoded


@dataclass(frozen=True, slots=True)
class Start:
    """A picture before its first step; see `Trajectory` for the fields."""

    latents: torch.Tensor
    blend: Blend | None = None
    beside: torch.Tensor | None = None


class SdxlLatents:
    """The way into and out of one checkpoint's latents."""

    def __init__(self, pipeline: StableDiffusionXLPipeline, device: torch.device) -> None:
        self._vae = pipeline.vae
        self._scale: int = pipeline.vae_scale_factor
        self._channels: int = pipeline.vae.config.latent_channels
        self._device = device
        self._dtype: torch.dtype = pipeline.unet.dtype
        # A network that was trained to fill reads the mask and what is kept beside the latents.
        self._fills = pipeline.unet.config.in_channels == 2 * self._channels + 1

    def start(
        self,
        request: ResolvedRequest,
        pictures: Pictures,
        scheduler: SchedulerMixin,
        timestep: torch.Tensor,
        generator: torch.Generator,
    ) -> Start:
        """Return the latents at `timestep`, the first one of the picture.

        Raises:
            RequestRefusedError: an image or a mask is missing.
        """
        self._check(pictures)
        shape = (1, self._channels, request.height // self._scale, request.width // self._scale)
        image, mask = pictures.image, pictures.mask
        if image is None:
            return Start(self._noise(shape, generator) * scheduler.init_noise_sigma)
        pixels = from_pixels(image)
        if mask is None:
            clean = self._encoded(pixels, generator)
            noise = self._noise(shape, generator)
            return Start(scheduler.add_noise(clean, noise, timestep[None]))
        from_noise = request.strength is None or request.strength == 1.0
        masked = self._filled if self._fills else self._blended
        return masked(pixels, _hole(mask), scheduler, None if from_noise else timestep, generator)

    def decoded(self, latents: torch.Tensor, *, tiled: bool) -> torch.Tensor:
        """Return latents (1, channels, height, width) as (1, 3, height, width) in -1..1."""
        latents = latents.to(self._vae.dtype)
        mean, deviation = self._statistics(latents)
        latents = latents * deviation / self._vae.config.scaling_factor + mean
        return decoded(self._vae, latents, tiled=tiled)

    def _check(self, pictures: Pictures) -> None:
        if pictures.mask is not None and pictures.image is None:
            raise RequestRefusedError(
                "a mask says what of an image is drawn anew; give the image, too", parameter="image"
            )
        if self._fills and pictures.mask is None:
            missing = "a mask" if pictures.image is not None else "an image and a mask"
            raise RequestRefusedError(
                f"this model only fills a part of an image, and {missing} is missing; give "
                f"{missing}, or take another model",
                parameter="mask",
            )

    def _blended(
        self,
        pixels: torch.Tensor,
        hole: torch.Tensor,
        scheduler: SchedulerMixin,
        timestep: torch.Tensor | None,
        generator: torch.Generator,
    ) -> Start:
        """Return an inpainting before its first step; `timestep` None: out of noise alone."""
        clean = self._encoded(pixels, generator)
        noise = self._noise(clean.shape, generator)
        # The pipeline encodes what is kept once more, and uses nothing of it but this draw.
        randn_tensor(clean.shape, generator, dtype=self._vae.dtype)
        latents = noise * scheduler.init_noise_sigma
        if timestep is not None:
            latents = scheduler.add_noise(clean, noise, timestep[None])
        mask = self._small(hole, clean.shape)
        return Start(latents, blend=Blend(mask, clean, noise, scheduler.add_noise))

    def _filled(
        self,
        pixels: torch.Tensor,
        hole: torch.Tensor,
        scheduler: SchedulerMixin,
        timestep: torch.Tensor | None,
        generator: torch.Generator,
    ) -> Start:
        """Return the same for a network that reads the mask and what is kept."""
        clean = None if timestep is None else self._encoded(pixels, generator)
        shape = (1, self._channels, *(side // self._scale for side in pixels.shape[-2:]))
        noise = self._noise(shape, generator)
        latents = noise * scheduler.init_noise_sigma
        if timestep is not None:
            latents = scheduler.add_noise(clean, noise, timestep[None])
        kept = self._encoded(pixels * (1 - hole), generator)
        return Start(latents, beside=torch.cat([self._small(hole, shape), kept], dim=1))

    def _noise(self, shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
        noise: torch.Tensor = randn_tensor(
            tuple(shape), generator, device=self._device, dtype=self._dtype
        )
        return noise

    def _encoded(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        encoded = self._vae.encode(pixels.to(self._device, self._vae.dtype))
        latents = encoded.latent_dist.sample(generator).to(self._dtype)
        mean, deviation = self._statistics(latents)
        scaled: torch.Tensor = (latents - mean) * self._vae.config.scaling_factor / deviation
        return scaled

    def _small(self, hole: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        return functional.interpolate(hole, size=tuple(shape[-2:])).to(self._device, self._dtype)

    def _statistics(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and deviation that a checkpoint declares for its latents, else 0 and 1."""
        config = self._vae.config
        mean = getattr(config, "latents_mean", None)
        deviation = getattr(config, "latents_std", None)
        if mean is None or deviation is None:
            return like.new_zeros(()), like.new_ones(())
        return like.new_tensor(mean).view(1, -1, 1, 1), like.new_tensor(deviation).view(1, -1, 1, 1)


def _hole(mask: Image.Image) -> torch.Tensor:
    """Return (1, 1, height, width): 1 where the picture is drawn anew, 0 where it is kept."""
    levels = torch.frombuffer(bytearray(mask.convert("L").tobytes()), dtype=torch.uint8)
    shaped = levels.reshape(1, 1, mask.height, mask.width)
    return (shaped.float() / 255.0 >= 0.5).float()
