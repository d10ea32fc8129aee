"""Stable Diffusion XL, step by step: equal to diffusers' text, image and inpaint pipelines."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import SchedulerMixin, StableDiffusionXLPipeline

from server.domain.errors import RequestRefusedError
from server.domain.images import ResolvedRequest
from server.domain.models import Family
from server.domain.plans import RESIDENT, Plan
from server.engine import previews, schedulers
from server.engine.adapters.adapter import Adapter
from server.engine.adapters.cast import Cast
from server.engine.adapters.mix import Mix, check_rank
from server.engine.attention.processors import Site
from server.engine.families import sdxl_sizes
from server.engine.families.base import Encoded, Pictures, Trajectory, to_pixels
from server.engine.families.sdxl_latents import SdxlLatents
from server.engine.families.sdxl_prompts import SdxlPrompts
from server.engine.weights import PipelineWeights


class SdxlFamily:
    """One SDXL checkpoint in memory."""

    def __init__(
        self,
        pipeline: StableDiffusionXLPipeline,
        scheduler: str | None = None,
        *,
        device: torch.device | None = None,
    ) -> None:
        """Take over a loaded pipeline.

        Args:
            pipeline: in its dtype.
            scheduler: name of the model's usual noise scheduler; None: the checkpoint's own.
            device: where it shall draw, once its weights are brought there; None: where it is.
        """
        self.weights = PipelineWeights.of(pipeline, "unet", device)
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._cast = Cast(pipeline, Family.SDXL, "unet", self.weights.device)
        self._prompts = SdxlPrompts(pipeline, self._cast, self.weights)
        self._latents = SdxlLatents(pipeline, self.weights.device)
        self._device = self.weights.device
        self.attention = Site(pipeline.unet)
        self._dtype: torch.dtype = pipeline.unet.dtype
        # Weights distilled with guidance as an input (LCM) take it there, in a single row.
        self._guidance_channels: int | None = pipeline.unet.config.time_cond_proj_dim

    @functools.cached_property
    def parameter_count(self) -> int:
        """See FamilyPipeline."""
        return sum(weights.numel() for weights in self._pipeline.unet.parameters())

    def forget(self) -> None:
        """See FamilyPipeline."""
        self._prompts.forget()
        self._cast.forget()

    def read_adapter(self, path: Path) -> Adapter:
        """See FamilyPipeline."""
        return self._cast.read_adapter(path)

    def encode(self, request: ResolvedRequest, mix: Mix = ()) -> Encoded:
        """See FamilyPipeline."""
        check_rank(mix)
        guided = _guidance(request) > 1 and self._guidance_channels is None
        return self._prompts.encode(request, guided=guided, mix=mix)

    def prepare(
        self,
        request: ResolvedRequest,
        encoded: Encoded,
        index: int,
        pictures: Pictures,
        mix: Mix = (),
        plan: Plan = RESIDENT,
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
        start = self._latents.start(request, pictures, scheduler, timesteps[0], generator)
        return Trajectory(
            latents=start.latents,
            scheduler=scheduler,
            timesteps=timesteps,
            encoded=encoded,
            generator=generator,
            width=request.width,
            height=request.height,
            guidance=_guidance(request),
            guidance_rescale=request.guidance_rescale or 0.0,
            network_guidance=self._guidance_embedding(_guidance(request)),
            time_ids=self._time_ids(request, encoded, pictures),
            blend=start.blend,
            beside=start.beside,
            mix=mix,
            plan=plan,
            step_arguments=schedulers.step_arguments(scheduler, generator),
        )

    def predict(self, rows: Sequence[Trajectory]) -> list[torch.Tensor]:
        """See FamilyPipeline."""
        latents, timesteps, prompts, pooled, sizes, guidances = [], [], [], [], [], []
        mixes: list[Mix] = []
        for row in rows:
            latent = row.scheduler.scale_model_input(row.latents, row.timestep)
            if row.beside is not None:
                latent = torch.cat([latent, row.beside], dim=1)
            for conditioning, size in zip(row.encoded.rows, row.time_ids, strict=True):
                latents.append(latent)
                timesteps.append(row.timestep.float())
                prompts.append(conditioning.prompt_embeds)
                pooled.append(conditioning.pooled_prompt_embeds)
                sizes.append(size)
                mixes.append(row.mix)
            if row.network_guidance is not None:
                guidances.append(row.network_guidance)
        with self._cast.drawing(mixes):
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
        tiled = trajectory.plan.decode == "tiled"
        return to_pixels(self._latents.decoded(trajectory.latents, tiled=tiled))

    def preview(self, trajectory: Trajectory) -> torch.Tensor:
        """See FamilyPipeline."""
        return self._preview_factors.picture(previews.denoised(trajectory))

    @functools.cached_property
    def _preview_factors(self) -> previews.PreviewFactors:
        vae = self._pipeline.vae
        return previews.fit(vae, scale=vae.config.scaling_factor, shift=0.0)

    def _time_ids(
        self, request: ResolvedRequest, encoded: Encoded, pictures: Pictures
    ) -> tuple[torch.Tensor, ...]:
        rows = [sdxl_sizes.positive(request)]
        if encoded.negative is not None:
            rows.insert(0, sdxl_sizes.negative(request, from_image=pictures.image is not None))
        return tuple(torch.tensor([row], device=self._device, dtype=self._dtype) for row in rows)

    def _guidance_embedding(self, guidance: float) -> torch.Tensor | None:
        if self._guidance_channels is None:
            return None
        embedding: torch.Tensor = self._pipeline.get_guidance_scale_embedding(
            torch.tensor([guidance - 1]), embedding_dim=self._guidance_channels
        )
        return embedding.to(self._device, self._dtype)


def _guidance(request: ResolvedRequest) -> float:
    return 1.0 if request.guidance_scale is None else request.guidance_scale


def _set_timesteps(
    scheduler: SchedulerMixin, request: ResolvedRequest, device: torch.device
) -> int:
    """Set the request's steps and return the index of the first one to take.

    Raises:
        RequestRefusedError: the scheduler cannot do that many, or strength leaves none.
    """
    steps = request.steps
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
