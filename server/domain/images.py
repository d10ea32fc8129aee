"""What can be asked for, and how a finished picture is described."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

from server.domain.ids import ID_PATTERN

MAX_PROMPT_CHARACTERS = 2000
MAX_IMAGES = 4
MAX_REFERENCES = 16
MAX_ADAPTERS = 8
MAX_SEED = 2**53 - 1  # the largest integer that every JSON reader keeps exact

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
ModelId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
AdapterId = ModelId  # likewise short, and safe in an address and in a prompt
# U+0000 is no text: PostgreSQL keeps none, and a file's metadata would end there.
Text = Annotated[str, StringConstraints(max_length=MAX_PROMPT_CHARACTERS, pattern=r"^[^\x00]*$")]
Prompt = Annotated[Text, StringConstraints(min_length=1)]
ParameterValue = int | float | str | bool


def _frozen(values: Mapping[str, ParameterValue]) -> Mapping[str, ParameterValue]:
    return MappingProxyType(dict(values))


OptionName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
# By name; read-only, since frozen is only skin deep.
Options = Annotated[
    Mapping[OptionName, int | float | Text | bool],
    Field(max_length=32),
    AfterValidator(_frozen),
    PlainSerializer(dict, return_type=dict[str, ParameterValue]),
]


def no_options() -> Options:
    """Return an empty mapping, for a field's default."""
    return MappingProxyType({})


class Frozen(BaseModel):
    """Base of all values here: immutable, unknown fields are errors, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ImageFormat(StrEnum):
    """File format of a finished picture."""

    PNG = "png"
    WEBP = "webp"
    JPEG = "jpeg"

    @property
    def media_type(self) -> str:
        """The MIME type, such as image/png."""
        return f"image/{self.value}"


class Priority(StrEnum):
    """Order within one owner's own jobs; owners among each other share by fairness alone."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Profile(StrEnum):
    """What a picture may give up. Only EXACT is used unless the model or the request allows more.

    EXACT: the reference picture, wherever the weights wait. MEMORY: 8 or 4 bits a weight, decoding
    in tiles. FAST: 8-bit arithmetic, and blocks that hardly change are not computed again.
    """

    EXACT = "exact"
    MEMORY = "memory"
    FAST = "fast"


class Fallback(StrEnum):
    """Who may draw where the model asked for cannot: nobody, our own machines, or the chain."""

    NEVER = "never"
    LOCAL = "local"  # models of this server, and connections that are marked as trusted
    ANY = "any"


class Outpaint(Frozen):
    """How far to widen a picture: each side as a part of the picture's own width or height."""

    left: float = Field(default=0.0, ge=0, le=2)
    top: float = Field(default=0.0, ge=0, le=2)
    right: float = Field(default=0.0, ge=0, le=2)
    bottom: float = Field(default=0.0, ge=0, le=2)

    @model_validator(mode="after")
    def _widens(self) -> Self:
        if not (self.left or self.top or self.right or self.bottom):
            raise ValueError("outpaint adds nothing; give left, top, right or bottom above 0")
        return self


# Height, then width (or top, then left), as diffusers has its size conditions.
Pair = tuple[Annotated[int, Field(ge=0, le=8192)], Annotated[int, Field(ge=0, le=8192)]]


class AdapterRef(Frozen):
    """An adapter to draw with, and how much of it."""

    id: AdapterId
    weight: float = Field(default=1.0, ge=-4, le=4)


class DrawnAdapter(Frozen):
    """The same once it is decided which file that is: its name may mean another one later."""

    id: AdapterId
    sha256: str
    weight: float


class ImageRequest(Frozen):
    """What was asked; sizes in pixels. None means the model's declared default.

    Picture i of a request is drawn with seed + i and its own generator.
    """

    prompt: Prompt
    model: ModelId | None = Field(default=None, description="Id or alias; absent: the default")
    negative_prompt: Text | None = None
    width: int | None = Field(default=None, ge=16, le=4096, multiple_of=8)
    height: int | None = Field(default=None, ge=16, le=4096, multiple_of=8)
    aspect_ratio: str | None = Field(
        default=None,
        pattern=r"^[1-9]\d?:[1-9]\d?$",
        description="Instead of width and height: the model's declared size of that shape",
    )
    num_images: int = Field(default=1, ge=1, le=MAX_IMAGES)
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    num_inference_steps: int | None = Field(default=None, ge=1, le=150)
    guidance_scale: float | None = Field(default=None, ge=0, le=30)
    true_cfg_scale: float | None = Field(default=None, ge=0, le=30)
    scheduler: str | None = Field(default=None, max_length=40)
    max_sequence_length: int | None = Field(default=None, ge=16, le=512)
    style: str | None = Field(default=None, max_length=64)
    image: Id | None = Field(
        default=None, description="Id of an upload or picture to start from (image to image)"
    )
    strength: float | None = Field(
        default=None, gt=0, le=1, description="With image: 1 redraws all of it, 0.1 almost nothing"
    )
    mask: Id | None = Field(
        default=None,
        description="Id of an upload: white is drawn anew, black keeps the image (inpainting)",
    )
    outpaint: Outpaint | None = Field(
        default=None, description="Widen the image and draw what is new"
    )
    references: tuple[Id, ...] = Field(
        default=(),
        max_length=MAX_REFERENCES,
        description="Ids of pictures that the prompt speaks of, for models that edit",
    )
    adapters: tuple[AdapterRef, ...] = Field(
        default=(),
        max_length=MAX_ADAPTERS,
        description="LoRA files to draw with; `<lora:id:weight>` in the prompt does the same",
    )
    options: Options = Field(
        default_factory=no_options,
        description="Parameters that this model alone has, as its `remote.options` declare them",
    )
    guidance_rescale: float | None = Field(default=None, ge=0, le=1)
    clip_skip: int | None = Field(default=None, ge=1, le=10)
    original_size: Pair | None = None
    crops_coords_top_left: Pair | None = None
    target_size: Pair | None = None
    negative_original_size: Pair | None = None
    negative_crops_coords_top_left: Pair | None = None
    negative_target_size: Pair | None = None
    profile: Profile | None = Field(
        default=None,
        description="What the picture may give up for less memory or more speed, if the model "
        "offers it",
    )
    priority: Priority = Priority.NORMAL
    fallback: Fallback | None = Field(
        default=None,
        description="Who of the model's chain may draw if the model cannot; absent: all of it",
    )
    deadline_seconds: float | None = Field(default=None, gt=0, le=86_400)
    format: ImageFormat = ImageFormat.PNG


class ResolvedRequest(Frozen):
    """A request with every value decided: what really runs, and what a recipe repeats.

    The style is already part of the prompts. `num_inference_steps`, `guidance_scale` and
    `true_cfg_scale` are None only where the model has no such parameter. Rows of earlier versions
    lack the fields with defaults.
    """

    model: ModelId
    prompt: str
    negative_prompt: str | None
    width: int
    height: int
    num_images: int
    seed: int
    num_inference_steps: int | None
    guidance_scale: float | None
    true_cfg_scale: float | None
    scheduler: str | None
    max_sequence_length: int | None
    image: Id | None
    strength: float | None
    mask: Id | None = None
    outpaint: Outpaint | None = None
    references: tuple[Id, ...] = ()
    adapters: tuple[DrawnAdapter, ...] = ()
    options: Options = Field(default_factory=no_options)
    guidance_rescale: float | None = None
    clip_skip: int | None = None
    original_size: Pair | None = None
    crops_coords_top_left: Pair | None = None
    target_size: Pair | None = None
    negative_original_size: Pair | None = None
    negative_crops_coords_top_left: Pair | None = None
    negative_target_size: Pair | None = None
    profile: Profile = Profile.EXACT
    format: ImageFormat

    @property
    def steps(self) -> int:
        """Denoising steps, for those who draw by steps.

        Raises:
            ValueError: the model has no such parameter.
        """
        if self.num_inference_steps is None:
            raise ValueError(f"model '{self.model}' does not draw by steps")
        return self.num_inference_steps
