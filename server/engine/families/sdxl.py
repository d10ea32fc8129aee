"""Stable Diffusion XL, step by step: equal to diffusers' own text and image pipelines."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from diffusers import SchedulerMixin, StableDiffusionXLPipeline
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


class SdxlFamily:
    """One SDXL checkpoint in memory."""

    def __init__(self, pipeline: StableDiffusionXLPipeline, scheduler: str | None = None) -> None:
        """Take over a loaded pipeline.

        Args:
            pipeline: on its device, in its dtype.
            scheduler: name of the model's usual noise scheduler; None: the checkpoint's own.
        """
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._prompts = PromptCache()
        self._device: torch.device = pipeline.unet.device
        self._dtype: torch.dtype = pipeline.unet.dtype
        # Weights distilled with guidance as an input (LCM) take it there, in a single row.
        self._guidance_channels: int | None = pipeline.unet.config.time_cond_proj_dim

    @property
    def parameter_count(self) -> int:
        """See FamilyPipeline."""
        return sum(weights.numel() for weights in self._pipeline.unet.parameters())

    def encode(self, request: ResolvedRequest) -> Encoded:
        """See FamilyPipeline."""
        positive = self._conditioning(request.prompt)
        if _guidance(request) <= 1 or self._guidance_channels is not None:
            return Encoded(positive, None)
        if request.negative_prompt is None and self._pipeline.config.force_zeros_for_empty_prompt:
            return Encoded(positive, _zeros_like(positive))
        return Encoded(positive, self._conditioning(request.negative_prompt or ""))

    def prepare(
        self, request: ResolvedRequest, encoded: Encoded, index: int, pictures: Pictures
    ) -> Trajectory:
        """See FamilyPipeline."""
        scheduler = schedulers.build(
            Family.SDXL, request.scheduler or self._scheduler, self._pipeline.scheduler
        )
        first = _set_timesteps(scheduler, request, self._device)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        timesteps = scheduler.timesteps[first:].unbind()
        generator = torch.Generator().manual_seed(request.seed + index)
        latents = self._latents(request, scheduler, timesteps[0], generator, pictures.image)
        sizes = latents.new_tensor(
            [[request.height, request.width, 0, 0, request.height, request.width]]
        )
        return Trajectory(
            latents=latents,
            scheduler=scheduler,
            timesteps=timesteps,
            encoded=encoded,
            generator=generator,
            width=request.width,
            height=request.height,
            guidance=_guidance(request),
            network_guidance=self._guidance_embedding(_guidance(request)),
            time_ids=(sizes,) * len(encoded.rows),
            step_arguments=schedulers.step_arguments(scheduler, generator),
        )

    def predict(self, rows: Sequence[Trajectory]) -> list[torch.Tensor]:
        """See FamilyPipeline."""
        latents, timesteps, prompts, pooled, sizes, guidances = [], [], [], [], [], []
        for row in rows:
            latent = row.scheduler.scale_model_input(row.latents, row.timestep)
            for conditioning, size in zip(row.encoded.rows, row.time_ids, strict=True):
                latents.append(latent)
                timesteps.append(row.timestep.float())
                prompts.append(conditioning.prompt_embeds)
                pooled.append(conditioning.pooled_prompt_embeds)
                sizes.append(size)
            if row.network_guidance is not None:
                guidances.append(row.network_guidance)
        predictions = self._pipeline.unet(
            torch.cat(latents),
            torch.stack(timesteps),
            encoder_hidden_states=torch.cat(prompts),
            timestep_cond=torch.cat(guidances) if guidances else None,
            added_cond_kwargs={"text_embeds": torch.cat(pooled), "time_ids": torch.cat(sizes)},
            return_dict=False,
        )[0]
        split = predictions.split([len(row.encoded.rows) for row in rows])
        return [row.split(prediction) for row, prediction in zip(rows, split, strict=True)]

    def decode(self, trajectory: Trajectory) -> torch.Tensor:
        """See FamilyPipeline."""
        vae = self._pipeline.vae
        latents = trajectory.latents.to(vae.dtype)
        mean, deviation = self._latent_statistics(latents)
        latents = latents * deviation / vae.config.scaling_factor + mean
        return to_pixels(vae.decode(latents, return_dict=False)[0])

    def preview(self, trajectory: Trajectory) -> torch.Tensor:
        """See FamilyPipeline."""
        return self._preview_factors.picture(previews.denoised(trajectory))

    @functools.cached_property
    def _preview_factors(self) -> previews.PreviewFactors:
        vae = self._pipeline.vae
        return previews.fit(vae, scale=vae.config.scaling_factor, shift=0.0)

    def _conditioning(self, text: str) -> Conditioning:
        def encode() -> Conditioning:
            embeds, _, pooled, _ = self._pipeline.encode_prompt(
                prompt=text, device=self._device, do_classifier_free_guidance=False
            )
            return Conditioning(embeds, pooled)

        return self._prompts.get(text, encode)

    def _latents(
        self,
        request: ResolvedRequest,
        scheduler: SchedulerMixin,
        timestep: torch.Tensor,
        generator: torch.Generator,
        source: Image.Image | None,
    ) -> torch.Tensor:
        scale = self._pipeline.vae_scale_factor
        channels = self._pipeline.unet.config.in_channels
        shape = (1, channels, request.height // scale, request.width // scale)
        if source is None:
            noise = randn_tensor(shape, generator, device=self._device, dtype=self._dtype)
            return torch.as_tensor(noise * scheduler.init_noise_sigma)
        clean = self._encode_image(source, generator)
        noise = randn_tensor(shape, generator, device=self._device, dtype=self._dtype)
        noisy: torch.Tensor = scheduler.add_noise(clean, noise, timestep[None])
        return noisy

    def _encode_image(self, image: Image.Image, generator: torch.Generator) -> torch.Tensor:
        vae = self._pipeline.vae
        pixels = from_pixels(image).to(self._device, vae.dtype)
        latents = vae.encode(pixels).latent_dist.sample(generator).to(self._dtype)
        mean, deviation = self._latent_statistics(latents)
        scaled: torch.Tensor = (latents - mean) * vae.config.scaling_factor / deviation
        return scaled

    def _latent_statistics(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and deviation that a checkpoint declares for its latents, else 0 and 1."""
        config = self._pipeline.vae.config
        mean, deviation = (
            getattr(config, "latents_mean", None),
            getattr(config, "latents_std", None),
        )
        if mean is None or deviation is None:
            return like.new_zeros(()), like.new_ones(())
        return like.new_tensor(mean).view(1, -1, 1, 1), like.new_tensor(deviation).view(1, -1, 1, 1)

    def _guidance_embedding(self, guidance: float) -> torch.Tensor | None:
        if self._guidance_channels is None:
            return None
        embedding: torch.Tensor = self._pipeline.get_guidance_scale_embedding(
            torch.tensor([guidance - 1]), embedding_dim=self._guidance_channels
        )
        return embedding.to(self._device, self._dtype)


def _guidance(request: ResolvedRequest) -> float:
    return 1.0 if request.guidance_scale is None else request.guidance_scale


def _zeros_like(conditioning: Conditioning) -> Conditioning:
    return Conditioning(
        torch.zeros_like(conditioning.prompt_embeds),
        torch.zeros_like(conditioning.pooled_prompt_embeds),
    )


def _set_timesteps(
    scheduler: SchedulerMixin, request: ResolvedRequest, device: torch.device
) -> int:
    """Set the request's steps and return the index of the first one to take.

    Raises:
        RequestRefusedError: the scheduler cannot do that many, or strength leaves none.
    """
    steps = request.num_inference_steps
    try:
        scheduler.set_timesteps(steps, device=device)
    except (ValueError, IndexError) as error:
        raise RequestRefusedError(
            f"{type(scheduler).__name__} cannot do {steps} steps: {error}",
            parameter="num_inference_steps",
        ) from error
    if request.strength is None:
        return 0
    taken = min(int(steps * request.strength), steps)
    if taken < 1:
        raise RequestRefusedError(
            f"strength {request.strength:g} of {steps} steps is less than one step; "
            f"take at least {1 / request.strength:.0f} steps or more strength",
            parameter="strength",
        )
    first: int = (steps - taken) * scheduler.order
    return first
