"""FLUX.1, step by step: equal to diffusers' own text and image pipelines."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import FluxPipeline, SchedulerMixin
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from server.domain.errors import RequestRefusedError
from server.domain.images import ResolvedRequest
from server.domain.models import Family
from server.engine import previews, schedulers
from server.engine.families.base import (
    Conditioning,
    Encoded,
    Pictures,
    Trajectory,
    from_pixels,
    to_pixels,
)
from server.engine.families.prompts import PromptCache

_MAX_SEQUENCE_LENGTH = 512  # diffusers' own default
_DISTILLED_GUIDANCE = 3.5  # likewise


class FluxFamily:
    """One FLUX.1 checkpoint in memory; its latents are packed, 2 x 2 to a token."""

    def __init__(self, pipeline: FluxPipeline, scheduler: str | None = None) -> None:
        """Take over a loaded pipeline.

        Args:
            pipeline: on its device, in its dtype.
            scheduler: name of the model's usual noise scheduler; None: the checkpoint's own.
        """
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._prompts = PromptCache()
        self._device: torch.device = pipeline.transformer.device
        self._dtype: torch.dtype = pipeline.transformer.dtype
        self._ids: dict[tuple[int, int], torch.Tensor] = {}  # by rows and columns of tokens

    @property
    def parameter_count(self) -> int:
        """See FamilyPipeline."""
        return sum(weights.numel() for weights in self._pipeline.transformer.parameters())

    def encode(self, request: ResolvedRequest) -> Encoded:
        """See FamilyPipeline.

        True guidance without a negative prompt is guided away from the empty one.
        """
        length = request.max_sequence_length or _MAX_SEQUENCE_LENGTH
        positive = self._conditioning(request.prompt, length)
        if _true_cfg(request) <= 1:
            return Encoded(positive, None)
        return Encoded(positive, self._conditioning(request.negative_prompt or "", length))

    def prepare(
        self, request: ResolvedRequest, encoded: Encoded, index: int, pictures: Pictures
    ) -> Trajectory:
        """See FamilyPipeline."""
        scheduler = schedulers.build(
            Family.FLUX, request.scheduler or self._scheduler, self._pipeline.scheduler
        )
        first = self._set_timesteps(scheduler, request)
        scheduler.set_begin_index(first)
        timesteps = scheduler.timesteps[first:].unbind()
        generator = torch.Generator().manual_seed(request.seed + index)
        return Trajectory(
            latents=self._latents(request, scheduler, timesteps[0], generator, pictures.image),
            scheduler=scheduler,
            timesteps=timesteps,
            encoded=encoded,
            generator=generator,
            width=request.width,
            height=request.height,
            guidance=_true_cfg(request),
            network_guidance=self._network_guidance(request),
        )

    def predict(self, rows: Sequence[Trajectory]) -> list[torch.Tensor]:
        """See FamilyPipeline."""
        latents, timesteps, prompts, pooled, guidances = [], [], [], [], []
        for row in rows:
            for conditioning in row.encoded.rows:
                latents.append(row.latents)
                timesteps.append(row.timestep)
                prompts.append(conditioning.prompt_embeds)
                pooled.append(conditioning.pooled_prompt_embeds)
                if row.network_guidance is not None:
                    guidances.append(row.network_guidance)
        text_ids = prompts[0].new_zeros(prompts[0].shape[1], 3)
        predictions = self._pipeline.transformer(
            hidden_states=torch.cat(latents),
            timestep=torch.stack(timesteps).to(self._dtype) / 1000,
            guidance=torch.cat(guidances) if guidances else None,
            pooled_projections=torch.cat(pooled),
            encoder_hidden_states=torch.cat(prompts),
            txt_ids=text_ids,
            img_ids=self._image_ids(rows[0].height, rows[0].width),
            return_dict=False,
        )[0]
        split = predictions.split([len(row.encoded.rows) for row in rows])
        return [row.split(prediction) for row, prediction in zip(rows, split, strict=True)]

    def decode(self, trajectory: Trajectory) -> torch.Tensor:
        """See FamilyPipeline."""
        vae = self._pipeline.vae
        latents = self._unpack(trajectory.latents, trajectory).to(vae.dtype)
        latents = latents / vae.config.scaling_factor + vae.config.shift_factor
        return to_pixels(vae.decode(latents, return_dict=False)[0])

    def preview(self, trajectory: Trajectory) -> torch.Tensor:
        """See FamilyPipeline."""
        guess = self._unpack(previews.denoised(trajectory), trajectory)
        return self._preview_factors.picture(guess)

    @functools.cached_property
    def _preview_factors(self) -> previews.PreviewFactors:
        config = self._pipeline.vae.config
        return previews.fit(
            self._pipeline.vae, scale=config.scaling_factor, shift=config.shift_factor
        )

    def _conditioning(self, text: str, length: int) -> Conditioning:
        def encode() -> Conditioning:
            embeds, pooled, _ = self._pipeline.encode_prompt(
                prompt=text, prompt_2=None, device=self._device, max_sequence_length=length
            )
            return Conditioning(embeds, pooled)

        return self._prompts.get((text, length), encode)

    def _set_timesteps(self, scheduler: SchedulerMixin, request: ResolvedRequest) -> int:
        """Set the request's steps and return the index of the first one to take.

        Raises:
            RequestRefusedError: strength leaves no step.
        """
        steps = request.num_inference_steps
        config = scheduler.config
        mu = calculate_shift(
            self._tokens(request.height) * self._tokens(request.width),
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
        )
        sigmas = np.linspace(1.0, 1 / steps, steps)
        scheduler.set_timesteps(sigmas=sigmas, mu=mu, device=self._device)
        if request.strength is None:
            return 0
        # As diffusers has it for Flux: what is left out is rounded, not what is taken.
        skipped = int(max(steps - min(steps * request.strength, steps), 0))
        if skipped >= steps:
            raise RequestRefusedError(
                f"strength {request.strength:g} of {steps} steps is less than one step; "
                f"take more strength",
                parameter="strength",
            )
        first: int = skipped * scheduler.order
        return first

    def _latents(
        self,
        request: ResolvedRequest,
        scheduler: SchedulerMixin,
        timestep: torch.Tensor,
        generator: torch.Generator,
        source: Image.Image | None,
    ) -> torch.Tensor:
        channels = self._pipeline.transformer.config.in_channels // 4
        height, width = (2 * self._tokens(side) for side in (request.height, request.width))
        shape = (1, channels, height, width)
        if source is None:
            return _pack(randn_tensor(shape, generator, device=self._device, dtype=self._dtype))
        clean = self._encode_image(source, generator)
        noise = randn_tensor(shape, generator, device=self._device, dtype=self._dtype)
        return _pack(scheduler.scale_noise(clean, timestep[None], noise))

    def _encode_image(self, image: Image.Image, generator: torch.Generator) -> torch.Tensor:
        vae = self._pipeline.vae
        pixels = from_pixels(image).to(self._device, vae.dtype)
        latents = vae.encode(pixels).latent_dist.sample(generator).to(self._dtype)
        shifted: torch.Tensor = (latents - vae.config.shift_factor) * vae.config.scaling_factor
        return shifted

    def _network_guidance(self, request: ResolvedRequest) -> torch.Tensor | None:
        if not self._pipeline.transformer.config.guidance_embeds:
            return None
        scale = request.guidance_scale
        return torch.tensor(
            [_DISTILLED_GUIDANCE if scale is None else scale],
            device=self._device,
            dtype=torch.float32,
        )

    def _tokens(self, pixels: int) -> int:
        """Return how many tokens a side of `pixels` has."""
        tokens: int = pixels // (2 * self._pipeline.vae_scale_factor)
        return tokens

    def _image_ids(self, height: int, width: int) -> torch.Tensor:
        """Return (tokens, 3): 0, row and column of every token."""
        rows, columns = self._tokens(height), self._tokens(width)
        found = self._ids.get((rows, columns))
        if found is None:
            found = self._ids[rows, columns] = self._fresh_image_ids(rows, columns)
        return found

    def _fresh_image_ids(self, rows: int, columns: int) -> torch.Tensor:
        ids = torch.zeros(rows, columns, 3)
        ids[..., 1] = torch.arange(rows)[:, None]
        ids[..., 2] = torch.arange(columns)[None, :]
        return ids.reshape(rows * columns, 3).to(self._device, self._dtype)

    def _unpack(self, tokens: torch.Tensor, trajectory: Trajectory) -> torch.Tensor:
        rows, columns = self._tokens(trajectory.height), self._tokens(trajectory.width)
        channels = tokens.shape[-1] // 4
        grid = tokens.view(1, rows, columns, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return grid.reshape(1, channels, 2 * rows, 2 * columns)


def _pack(latents: torch.Tensor) -> torch.Tensor:
    """Return (1, channels, height, width) as (1, tokens, 4 channels)."""
    _, channels, height, width = latents.shape
    grid = latents.view(1, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return grid.reshape(1, height * width // 4, 4 * channels)


def _true_cfg(request: ResolvedRequest) -> float:
    return 1.0 if request.true_cfg_scale is None else request.true_cfg_scale
