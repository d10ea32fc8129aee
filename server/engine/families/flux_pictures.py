"""What Flux starts from: noise, and what its network reads of the pictures in a request."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from server.domain.errors import RequestRefusedError
from server.domain.models import Task
from server.engine.families import flux_latents, flux_schedule
from server.engine.families.base import Blend, Pictures, from_pixels
from server.engine.families.flux_references import Sizes, one_reference


@dataclass(frozen=True, slots=True)
class Prepared:
    """The parts of a Trajectory that come from pictures; named and shaped as they are there."""

    latents: torch.Tensor
    blend: Blend | None
    beside: torch.Tensor | None
    references: torch.Tensor | None
    reference_grid: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a picture begins; all (1, channels, height, width), `clean` only with an image."""

    latents: torch.Tensor
    noise: torch.Tensor
    clean: torch.Tensor | None


class FluxPictures:
    """Turns pictures into tokens with the VAE of one checkpoint."""

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        task: Task,
        reference_sizes: Sizes,
        device: torch.device,
    ) -> None:
        """Keep what is needed of `pipeline`.

        Args:
            pipeline: in its dtype.
            task: what the checkpoint was made for.
            reference_sizes: width and height that references are brought to; none: their own.
            device: where it draws.
        """
        self._vae = pipeline.vae
        self._scale: int = pipeline.vae_scale_factor
        self._device = device
        self._dtype: torch.dtype = pipeline.transformer.dtype
        self._task = task
        self._reference_sizes = reference_sizes

    def prepare(
        self,
        pictures: Pictures,
        grid: tuple[int, int],
        scheduler: SchedulerMixin,
        timestep: torch.Tensor,
        generator: torch.Generator,
    ) -> Prepared:
        """Return what a picture starts from.

        Args:
            pictures: those of the request.
            grid: rows and columns of tokens to draw.
            scheduler: with its timesteps and its first index set.
            timestep: the first one.
            generator: fresh.

        Raises:
            RequestRefusedError: the checkpoint cannot draw from these pictures.
        """
        self._refuse(pictures)
        # The order of the draws from the generator is the pipelines': image, noise, masked image.
        start = self._start(pictures, grid, scheduler, timestep, generator)
        fills = self._task is Task.FILL
        seen = self._seen(pictures, start)
        return Prepared(
            latents=flux_latents.pack(start.latents),
            blend=None if fills else self._blend(scheduler, start, pictures.mask),
            beside=self._beside(pictures, generator) if fills else None,
            references=None if seen is None else flux_latents.pack(seen),
            reference_grid=None if seen is None else flux_latents.grid(seen),
        )

    def _refuse(self, pictures: Pictures) -> None:
        complete = pictures.image is not None and pictures.mask is not None
        if self._task is Task.FILL and not complete:
            raise RequestRefusedError(
                "this model fills what a mask covers: give image and mask, or image and outpaint",
                parameter="mask",
            )
        if pictures.mask is not None and pictures.image is None:
            raise RequestRefusedError("a mask needs the image that it is for", parameter="mask")
        if pictures.references and self._task is not Task.EDIT:
            raise RequestRefusedError(
                "this model does not look at references; take one whose task is edit",
                parameter="references",
            )

    def _repaints_an_edit(self, pictures: Pictures) -> bool:
        return self._task is Task.EDIT and pictures.mask is not None

    def _start(
        self,
        pictures: Pictures,
        grid: tuple[int, int],
        scheduler: SchedulerMixin,
        timestep: torch.Tensor,
        generator: torch.Generator,
    ) -> _Start:
        clean = None
        if pictures.image is not None:
            # FluxKontextInpaintPipeline takes the likeliest latents, all others draw them.
            drawn = None if self._repaints_an_edit(pictures) else generator
            clean = self._encode(from_pixels(pictures.image), drawn)
        rows, columns = grid
        shape = (1, self._vae.config.latent_channels, 2 * rows, 2 * columns)
        noise = randn_tensor(shape, generator, device=self._device, dtype=self._dtype)
        if clean is None:
            return _Start(noise, noise, None)
        noisy = flux_schedule.add_noise(scheduler, clean, noise, timestep[None])
        return _Start(noisy, noise, clean)

    def _blend(
        self, scheduler: SchedulerMixin, start: _Start, mask: Image.Image | None
    ) -> Blend | None:
        if mask is None or start.clean is None:
            return None
        blended = flux_latents.blend_mask(flux_latents.redrawn(mask), like=start.clean)
        return Blend(
            mask=blended.to(self._device, self._dtype),
            clean=flux_latents.pack(start.clean),
            noise=flux_latents.pack(start.noise),
            renoise=functools.partial(flux_schedule.add_noise, scheduler),
        )

    def _beside(self, pictures: Pictures, generator: torch.Generator) -> torch.Tensor | None:
        """Return the masked image and the mask as (1, tokens, channels) for a fill network."""
        if pictures.image is None or pictures.mask is None:
            return None
        mask = flux_latents.redrawn(pictures.mask)
        masked = self._encode(from_pixels(pictures.image) * (1 - mask), generator)
        tokens = flux_latents.fill_mask(mask, self._scale).to(self._device, self._dtype)
        return torch.cat([flux_latents.pack(masked), tokens], dim=-1)

    def _seen(self, pictures: Pictures, start: _Start) -> torch.Tensor | None:
        """Return what the network looks at, (1, channels, height, width).

        Without references an edit checkpoint looks at the very picture whose mask it repaints.
        """
        if not pictures.references:
            return start.clean if self._repaints_an_edit(pictures) else None
        picture = one_reference(pictures.references, 2 * self._scale, self._reference_sizes)
        return self._encode(from_pixels(picture), None)

    def _encode(self, pixels: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Return (1, channels, height, width) latents; without a generator the likeliest ones."""
        config = self._vae.config
        encoded = self._vae.encode(pixels.to(self._device, self._vae.dtype)).latent_dist
        latents = encoded.mode() if generator is None else encoded.sample(generator)
        shifted: torch.Tensor = (latents - config.shift_factor) * config.scaling_factor
        return shifted.to(self._dtype)
