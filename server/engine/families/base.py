"""A picture on its way as a `Trajectory`, and the verbs that every family gives it.

The verbs are those of a diffusers pipeline call, taken apart: encode the prompt, prepare the
latents, predict noise for any number of rows in one forward, decode. Between two predictions
each trajectory takes its own scheduler's step, so pictures of different settings share a forward.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers import SchedulerMixin
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import rescale_noise_cfg
from PIL import Image

from server.domain.images import ResolvedRequest
from server.domain.plans import RESIDENT, Plan
from server.engine.adapters.adapter import Adapter
from server.engine.adapters.mix import Mix
from server.engine.attention.processors import Site
from server.engine.plans.block_cache import BlockCache
from server.engine.weights import PipelineWeights


@dataclass(frozen=True, slots=True)
class Pictures:
    """What a request gives beside words.

    Attributes:
        image: RGB of the size to draw, to start from.
        mask: 8-bit grey of the size to draw: 255 is drawn anew, 0 keeps the image.
        references: RGB of any size, to look at.
    """

    image: Image.Image | None = None
    mask: Image.Image | None = None
    references: tuple[Image.Image, ...] = ()


@dataclass(frozen=True, slots=True)
class Conditioning:
    """One encoded prompt: what its row gives to the network.

    Attributes:
        prompt_embeds: (1, tokens, channels).
        pooled_prompt_embeds: (1, channels).
    """

    prompt_embeds: torch.Tensor
    pooled_prompt_embeds: torch.Tensor


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request's prompts. `negative` is None where one row is enough."""

    positive: Conditioning
    negative: Conditioning | None

    @property
    def rows(self) -> tuple[Conditioning, ...]:
        """The rows of one forward: the negative first, as guidance subtracts it."""
        return (self.positive,) if self.negative is None else (self.negative, self.positive)


@dataclass(frozen=True, slots=True)
class LastStep:
    """What went into a scheduler's step and what it gave; kept so that a guess costs nothing."""

    latents: torch.Tensor
    timestep: torch.Tensor
    noise_pred: torch.Tensor
    output: Any  # each scheduler class has its own


@dataclass(frozen=True, slots=True)
class Blend:
    """Inpainting with a network that knows nothing of masks: what is kept is put back each step.

    Attributes:
        mask: 1 where the picture is drawn anew, 0 where it is kept; broadcasts over the latents.
        clean: latents of the picture that is kept.
        noise: what `clean` is noised with, the same at every step.
        renoise: (clean, noise, timestep of shape (1,)) to latents as noisy as that timestep.
    """

    mask: torch.Tensor
    clean: torch.Tensor
    noise: torch.Tensor
    renoise: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

    def apply(self, latents: torch.Tensor, timestep: torch.Tensor | None) -> torch.Tensor:
        """Return `latents` with the kept part as noisy as `timestep`; None: as it is."""
        kept = self.clean
        if timestep is not None:
            kept = self.renoise(self.clean, self.noise, timestep[None])
        return (1 - self.mask) * kept + self.mask * latents


@dataclass(slots=True)
class Trajectory:
    """The state of one picture between two steps. Only its own thread touches it.

    Attributes:
        latents: (1, channels, height, width) of SDXL or (1, tokens, channels) of Flux.
        timesteps: those still ahead and behind, in order; second-order schedulers have two
            for each of the request's steps.
        guidance: weight of positive minus negative; unused with one row.
        guidance_rescale: how far the guided prediction gets the positive one's deviation back.
        network_guidance: what a network with a guidance input is told, else None.
        time_ids: SDXL's size conditioning, (1, 6), one for each of `encoded.rows`, else empty.
        blend: how a masked picture is kept where the network has no input for it.
        beside: channels that the network reads beside the latents (a fill checkpoint), shaped as
            the latents but for the channels.
        references: tokens that the network looks at (an edit checkpoint), (1, tokens, channels).
        reference_grid: their rows and columns.
        mix: the adapters that its rows are drawn with.
        plan: how its model is held and run.
        cache: what FLUX.1's blocks did at an earlier step, if the plan takes it up.
        last_step: what the last step was made of, for previews.
    """

    latents: torch.Tensor
    scheduler: SchedulerMixin
    timesteps: tuple[torch.Tensor, ...]
    encoded: Encoded
    generator: torch.Generator
    width: int
    height: int
    guidance: float
    guidance_rescale: float = 0.0
    network_guidance: torch.Tensor | None = None
    time_ids: tuple[torch.Tensor, ...] = ()
    blend: Blend | None = None
    beside: torch.Tensor | None = None
    references: torch.Tensor | None = None
    reference_grid: tuple[int, int] | None = None
    mix: Mix = ()
    plan: Plan = RESIDENT
    cache: BlockCache | None = None
    step_arguments: dict[str, Any] = field(default_factory=dict)
    step_index: int = 0
    last_step: LastStep | None = None

    @property
    def total_steps(self) -> int:
        """How many of the request's steps the picture takes; strength may leave out some."""
        return -(-len(self.timesteps) // self._order)

    @property
    def steps_done(self) -> int:
        """How many of them are done."""
        if self.is_done:
            return self.total_steps
        return self.step_index // self._order

    @property
    def _order(self) -> int:
        order: int = self.scheduler.order
        return order

    @property
    def predictions_left(self) -> int:
        """How many forwards it still needs."""
        return len(self.timesteps) - self.step_index

    @property
    def is_done(self) -> bool:
        """True when the latents are finished."""
        return self.step_index >= len(self.timesteps)

    @property
    def timestep(self) -> torch.Tensor:
        """The timestep of the next prediction, a scalar tensor."""
        return self.timesteps[self.step_index]

    @property
    def skipped_blocks(self) -> bool:
        """Whether the last step took less than a whole forward."""
        return self.cache is not None and self.cache.reused

    @property
    def bucket(self) -> Hashable:
        """Trajectories of one bucket fit into one forward."""
        # Packed latents of 64 x 96 and 96 x 64 have one shape, but their tokens other places.
        drawn = (self.width, self.height, self.latents.shape)
        return (drawn, self.encoded.positive.prompt_embeds.shape, self.reference_grid)

    def advance(self, noise_pred: torch.Tensor) -> None:
        """Take one scheduler step with the prediction for these latents."""
        output = self.scheduler.step(
            noise_pred, self.timestep, self.latents, **self.step_arguments, return_dict=True
        )
        self.last_step = LastStep(self.latents, self.timestep, noise_pred, output)
        # Some schedulers compute in fp32 and do not come back.
        self.latents = output.prev_sample.to(self.latents.dtype)
        self.step_index += 1
        if self.cache is not None:
            self.cache.commit()
        if self.blend is not None:
            self.latents = self.blend.apply(self.latents, None if self.is_done else self.timestep)

    def split(self, prediction: torch.Tensor) -> torch.Tensor:
        """Return the guided prediction from this trajectory's rows of a forward."""
        if self.encoded.negative is None:
            return prediction
        negative, positive = prediction.chunk(2)
        guided = negative + self.guidance * (positive - negative)
        if self.guidance_rescale > 0:
            guided = rescale_noise_cfg(guided, positive, guidance_rescale=self.guidance_rescale)
        return guided


class FamilyPipeline(Protocol):
    """A model in memory.

    Attributes:
        attention: where its network computes attention.
    """

    attention: Site

    @property
    def weights(self) -> PipelineWeights:
        """Where its weights are; it draws only while they are on its device."""
        ...

    @property
    def parameter_count(self) -> int:
        """How many weights the network of one step has."""
        ...

    def forget(self) -> None:
        """Give back what is kept on the device beside weights: prompts, adapters' copies."""
        ...

    def read_adapter(self, path: Path) -> Adapter:
        """Return the adapter in a file, for mixes of this model.

        Raises:
            AdapterError: the file is damaged, of another kind, or made for another network.
        """
        ...

    def encode(self, request: ResolvedRequest, mix: Mix = ()) -> Encoded:
        """Return the prompts as the network reads them, from the cache where it can.

        Args:
            request: with the prompts.
            mix: adapters, which may change the text encoders.

        Raises:
            RequestRefusedError: the mix has more rank than the largest seat.
        """
        ...

    def prepare(
        self,
        request: ResolvedRequest,
        encoded: Encoded,
        index: int,
        pictures: Pictures,
        mix: Mix = (),
        plan: Plan = RESIDENT,
    ) -> Trajectory:
        """Return picture `index` before its first step; its seed is the request's plus index.

        Args:
            request: what to draw.
            encoded: its prompts, read with the same mix.
            index: of the request's pictures.
            pictures: what it gives beside words.
            mix: the adapters to draw it with.
            plan: the one that this model was loaded with.

        Raises:
            RequestRefusedError: the scheduler cannot do these steps, or strength leaves none.
        """
        ...

    def predict(self, rows: Sequence[Trajectory]) -> list[torch.Tensor]:
        """Return each trajectory's guided prediction from one forward over all of them.

        Changes nothing, so that it can be tried again. All are of one bucket.
        """
        ...

    def decode(self, trajectory: Trajectory) -> torch.Tensor:
        """Return the finished picture: (height, width, 3) uint8 in main memory."""
        ...

    def preview(self, trajectory: Trajectory) -> torch.Tensor:
        """Return a small guess of the picture: (height / 8, width / 8, 3) uint8."""
        ...


def to_pixels(image: torch.Tensor) -> torch.Tensor:
    """Return (1, 3, height, width) in -1..1 as (height, width, 3) uint8, as diffusers rounds."""
    scaled = (image[0].float() * 0.5 + 0.5).clamp(0, 1).mul(255).round()
    return scaled.to(torch.uint8).permute(1, 2, 0).cpu()


def from_pixels(image: Image.Image) -> torch.Tensor:
    """Return an RGB picture as (1, 3, height, width) fp32 in -1..1."""
    levels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    shaped = levels.reshape(1, image.height, image.width, 3).permute(0, 3, 1, 2)
    return 2.0 * (shaped.float() / 255.0) - 1.0
