"""FLUX.1, step by step: equal to diffusers' own pipelines for text, pictures, masks and edits."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, SchedulerMixin

from server.domain.images import ResolvedRequest
from server.domain.models import Family, Task
from server.domain.plans import RESIDENT, Plan
from server.engine import previews, schedulers
from server.engine.adapters.adapter import Adapter
from server.engine.adapters.cast import Cast
from server.engine.adapters.mix import Mix, check_rank
from server.engine.attention.processors import Site
from server.engine.families import flux_latents, flux_schedule
from server.engine.families.base import (
    Conditioning,
    Encoded,
    Pictures,
    Trajectory,
    to_pixels,
)
from server.engine.families.flux_pictures import FluxPictures
from server.engine.families.flux_references import PREFERRED_SIZES, Sizes
from server.engine.families.prompts import PromptCache
from server.engine.plans.block_cache import BlockCache, Inputs, RowState, predict_reusing
from server.engine.plans.tiles import decoded
from server.engine.weights import PipelineWeights

_MAX_SEQUENCE_LENGTH = 512  # diffusers' own default
_DISTILLED_GUIDANCE = 3.5  # likewise


class FluxFamily:
    """One FLUX.1 checkpoint in memory; its latents are packed, 2 x 2 to a token.

    A plain one draws what `FluxPipeline`, `FluxImg2ImgPipeline` and `FluxInpaintPipeline` draw,
    one for filling what `FluxFillPipeline` draws, and one for edits (Kontext) what
    `FluxKontextPipeline` and, with a mask, `FluxKontextInpaintPipeline` draw; without references
    and mask it draws as a plain one.
    """

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        scheduler: str | None = None,
        task: Task = Task.TEXT,
        *,
        reference_sizes: Sizes = PREFERRED_SIZES,
        device: torch.device | None = None,
    ) -> None:
        """Take over a loaded pipeline.

        Args:
            pipeline: in its dtype.
            scheduler: name of the model's usual noise scheduler; None: the checkpoint's own.
            task: what the checkpoint was made for.
            reference_sizes: width and height that references are brought to; none: their own.
            device: where it shall draw, once its weights are brought there; None: where it is.
        """
        self.weights = PipelineWeights.of(pipeline, "transformer", device)
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._task = task
        self._pictures = FluxPictures(pipeline, task, reference_sizes, self.weights.device)
        self._cast = Cast(pipeline, Family.FLUX, "transformer", self.weights.device)
        self.attention = Site(pipeline.transformer)
        self._prompts = PromptCache()
        self._device = self.weights.device
        self._dtype: torch.dtype = pipeline.transformer.dtype
        self._places: dict[tuple[int, int, int], torch.Tensor] = {}

    @functools.cached_property
    def parameter_count(self) -> int:
        """See FamilyPipeline."""
        return sum(weights.numel() for weights in self._pipeline.transformer.parameters())

    def forget(self) -> None:
        """See FamilyPipeline."""
        self._prompts.clear()
        self._cast.forget()
        self._places.clear()

    def read_adapter(self, path: Path) -> Adapter:
        """See FamilyPipeline."""
        return self._cast.read_adapter(path)

    def encode(self, request: ResolvedRequest, mix: Mix = ()) -> Encoded:
        """See FamilyPipeline.

        True guidance without a negative prompt is guided away from the empty one.
        """
        check_rank(mix)
        length = request.max_sequence_length or _MAX_SEQUENCE_LENGTH
        positive = self._conditioning(request.prompt, length, mix)
        if _true_cfg(request) <= 1:
            return Encoded(positive, None)
        negative = self._conditioning(request.negative_prompt or "", length, mix)
        return Encoded(positive, negative)

    def prepare(
        self,
        request: ResolvedRequest,
        encoded: Encoded,
        index: int,
        pictures: Pictures,
        mix: Mix = (),
        plan: Plan = RESIDENT,
    ) -> Trajectory:
        """See FamilyPipeline.

        Raises:
            RequestRefusedError: also when a mask has no image, a checkpoint for filling lacks
                either, or references are too small or given to another than an edit checkpoint.
        """
        scheduler = schedulers.build(
            Family.FLUX, request.scheduler or self._scheduler, self._pipeline.scheduler
        )
        timesteps = self._set_timesteps(scheduler, request, pictures)
        generator = torch.Generator().manual_seed(request.seed + index)
        grid = self._grid(request.width, request.height)
        prepared = self._pictures.prepare(pictures, grid, scheduler, timesteps[0], generator)
        return Trajectory(
            latents=prepared.latents,
            scheduler=scheduler,
            timesteps=timesteps,
            encoded=encoded,
            generator=generator,
            width=request.width,
            height=request.height,
            guidance=_true_cfg(request),
            network_guidance=self._network_guidance(request),
            blend=prepared.blend,
            beside=prepared.beside,
            references=prepared.references,
            reference_grid=prepared.reference_grid,
            mix=mix,
            plan=plan,
            cache=BlockCache() if plan.block_cache else None,
        )

    def predict(self, rows: Sequence[Trajectory]) -> list[torch.Tensor]:
        """See FamilyPipeline."""
        tokens, timesteps, prompts, pooled, guidances = [], [], [], [], []
        mixes: list[Mix] = []
        for row in rows:
            seen = _network_input(row)
            for conditioning in row.encoded.rows:
                tokens.append(seen)
                timesteps.append(row.timestep.to(self._dtype))
                prompts.append(conditioning.prompt_embeds)
                pooled.append(conditioning.pooled_prompt_embeds)
                mixes.append(row.mix)
                if row.network_guidance is not None:
                    guidances.append(row.network_guidance)
        inputs = Inputs(
            hidden_states=torch.cat(tokens),
            timestep=torch.stack(timesteps) / 1000,
            guidance=torch.cat(guidances) if guidances else None,
            pooled_projections=torch.cat(pooled),
            encoder_hidden_states=torch.cat(prompts),
            txt_ids=prompts[0].new_zeros(prompts[0].shape[1], 3),
            img_ids=self._image_ids(rows[0]),
        )
        predictions = self._written(inputs, rows, mixes)[:, : rows[0].latents.shape[1]]
        split = torch.split(predictions, [len(row.encoded.rows) for row in rows])
        return [row.split(prediction) for row, prediction in zip(rows, split, strict=True)]

    def _written(
        self, inputs: Inputs, rows: Sequence[Trajectory], mixes: Sequence[Mix]
    ) -> torch.Tensor:
        """Return what the network writes to all of its tokens."""
        caches = [row.cache for row in rows if row.cache is not None]
        if caches and not self.weights.network.is_streamed:
            return self._written_reusing(inputs, rows, mixes)
        for cache in caches:  # memory ran short: what is streamed begins with a whole forward
            cache.forget()
        with self._cast.drawing(mixes):
            written: torch.Tensor = self._pipeline.transformer(
                **inputs.as_arguments(), return_dict=False
            )[0]
        return written

    def _written_reusing(
        self, inputs: Inputs, rows: Sequence[Trajectory], mixes: Sequence[Mix]
    ) -> torch.Tensor:
        states: list[RowState | None] = []
        thresholds: list[float | None] = []
        for row in rows:
            count = len(row.encoded.rows)
            states += (None,) * count if row.cache is None else row.cache.rows(count)
            thresholds += [None if row.cache is None else row.cache.threshold] * count
        written, after = predict_reusing(
            self._pipeline.transformer,
            inputs,
            states,
            thresholds,
            lambda indices: self._cast.drawing([mixes[index] for index in indices]),
        )
        for row in rows:
            mine, after = after[: len(row.encoded.rows)], after[len(row.encoded.rows) :]
            if row.cache is not None:
                row.cache.propose(mine)
        return written

    def decode(self, trajectory: Trajectory) -> torch.Tensor:
        """See FamilyPipeline."""
        vae = self._pipeline.vae
        latents = self._unpack(trajectory.latents, trajectory).to(vae.dtype)
        latents = latents / vae.config.scaling_factor + vae.config.shift_factor
        return to_pixels(decoded(vae, latents, tiled=trajectory.plan.decode == "tiled"))

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

    def _conditioning(self, text: str, length: int, mix: Mix) -> Conditioning:
        def encode() -> Conditioning:
            with self.weights.encoders.here(), self._cast.reading(mix):
                embeds, pooled, _ = self._pipeline.encode_prompt(
                    prompt=text, prompt_2=None, device=self._device, max_sequence_length=length
                )
            return Conditioning(embeds, pooled)

        return self._prompts.get((text, length, self._cast.key(mix)), encode)

    def _set_timesteps(
        self, scheduler: SchedulerMixin, request: ResolvedRequest, pictures: Pictures
    ) -> tuple[torch.Tensor, ...]:
        """Set the request's steps and return those to take."""
        steps = request.steps
        rows, columns = self._grid(request.width, request.height)
        flux_schedule.set_timesteps(
            scheduler,
            steps,
            rows * columns,
            self._device,
            text_alone=self._task is Task.TEXT and pictures.image is None,
        )
        first = flux_schedule.first_step(scheduler, steps, request.strength)
        scheduler.set_begin_index(first)
        timesteps: tuple[torch.Tensor, ...] = scheduler.timesteps[first:].unbind()
        return timesteps

    def _network_guidance(self, request: ResolvedRequest) -> torch.Tensor | None:
        if not self._pipeline.transformer.config.guidance_embeds:
            return None
        scale = request.guidance_scale
        return torch.tensor(
            [_DISTILLED_GUIDANCE if scale is None else scale],
            device=self._device,
            dtype=torch.float32,
        )

    def _grid(self, width: int, height: int) -> tuple[int, int]:
        """Return the rows and columns of tokens of a picture of that size in pixels."""
        side = 2 * self._pipeline.vae_scale_factor
        return height // side, width // side

    def _image_ids(self, row: Trajectory) -> torch.Tensor:
        """Return (tokens, 3): the places of a picture's tokens, then of its references'."""
        ids = self._kept_places(*self._grid(row.width, row.height), 0)
        if row.reference_grid is None:
            return ids
        return torch.cat([ids, self._kept_places(*row.reference_grid, 1)])

    def _kept_places(self, rows: int, columns: int, picture: int) -> torch.Tensor:
        key = (rows, columns, picture)
        if key not in self._places:
            ids = flux_latents.places(*key)
            self._places[key] = ids.to(self._device, self._dtype)
        return self._places[key]

    def _unpack(self, tokens: torch.Tensor, trajectory: Trajectory) -> torch.Tensor:
        rows, columns = self._grid(trajectory.width, trajectory.height)
        return flux_latents.unpack(tokens, rows, columns)


def _network_input(row: Trajectory) -> torch.Tensor:
    """Return (1, tokens, channels): the latents with what the network reads beside and after."""
    tokens = row.latents
    if row.beside is not None:
        tokens = torch.cat([tokens, row.beside], dim=-1)
    if row.references is not None:
        tokens = torch.cat([tokens, row.references], dim=1)
    return tokens


def _true_cfg(request: ResolvedRequest) -> float:
    return 1.0 if request.true_cfg_scale is None else request.true_cfg_scale
