"""What a model declares about itself; forms, checks and documents are all drawn from it."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import Field

from server.domain.images import Frozen, ModelId, Options, ParameterValue
from server.domain.money import Money

# `image` is an id, `images` a list of ids (`maximum` many), `pair` two integers, `outpaint` the
# object of that name, `adapters` a list of ids with weights (`maximum` many).
ParameterType = Literal[
    "integer", "number", "string", "choice", "image", "images", "pair", "outpaint", "adapters"
]


class Family(StrEnum):
    """Which pipeline class draws it."""

    SDXL = "sdxl"
    FLUX = "flux"
    REMOTE = "remote"


class Task(StrEnum):
    """What a checkpoint was made for, beyond its family."""

    TEXT = "text"  # from words, or from words and a picture to start from
    FILL = "fill"  # the network takes a picture and a mask: it repaints and widens
    EDIT = "edit"  # the network looks at reference pictures while it draws


class ParameterInfo(Frozen):
    """One parameter as a model takes it. A parameter that is not declared is refused by name."""

    name: str
    type: ParameterType
    default: ParameterValue | None
    minimum: float | None
    maximum: float | None
    step: float | None
    options: tuple[str, ...]
    description: str


class Size(Frozen):
    """A size the model was trained for, in pixels."""

    width: int = Field(ge=16, le=4096, multiple_of=8)
    height: int = Field(ge=16, le=4096, multiple_of=8)
    aspect_ratio: str


class Style(Frozen):
    """Words put around a prompt; `{prompt}` stands for the caller's own."""

    id: str
    name: str
    prompt: str = Field(pattern=r"\{prompt\}")
    negative_prompt: str


class SizeRule(StrEnum):
    """What becomes of a width and height that are asked for."""

    ANY = "any"  # drawn as asked, within the model's multiple, shapes and pixels
    NEAREST = "nearest"  # the declared size of the nearest shape is drawn


class Price(Frozen):
    """What one picture costs where all of `when` holds: options by name, and `size` as 64x64."""

    when: Options
    cost: Money


class TokenPrices(Frozen):
    """What a million tokens of each kind cost, for services that tell how many they counted."""

    text_in: Money
    image_in: Money
    image_out: Money


class RemoteTerms(Frozen):
    """What a remote model declares beyond what every model does.

    Attributes:
        service: the kind of service that draws, as connections name it.
        service_model: the service's own id of the model.
        options: parameters of this model alone; a request gives them in its `options`.
        size_rule: what becomes of a width and height.
        longest_shape: how many times longer than the other a side may be; None: no limit known.
        scales: values of the option `image_size`, by how many times wider than `sizes` they draw.
        max_seed: None: the service takes no seed.
        images_per_call: most pictures of one call; more are split into calls.
        prices: of one picture; the first that fits counts. Empty: not known.
        token_prices: None: the service does not charge by tokens, or not as far as is known.
        priced_on: the day of the price list.
    """

    service: str
    service_model: str
    options: tuple[ParameterInfo, ...]
    size_rule: SizeRule
    longest_shape: float | None
    scales: dict[str, float]
    max_seed: int | None
    images_per_call: int
    prices: tuple[Price, ...]
    token_prices: TokenPrices | None
    priced_on: date | None


class ModelInfo(Frozen):
    """A model as the outside sees it. `parameters`, `sizes` and `styles` are complete.

    `remote` is None for models that are drawn here.
    """

    id: ModelId
    name: str
    family: Family
    task: Task
    provider: str
    description: str
    specialties: tuple[str, ...]
    licence: str
    gated: bool
    demonstration: bool
    needs_vram_gib: float | None
    parameters: tuple[ParameterInfo, ...]
    sizes: tuple[Size, ...]
    size_multiple: int
    max_pixels: int
    styles: tuple[Style, ...]
    remote: RemoteTerms | None = None

    def parameter(self, name: str) -> ParameterInfo | None:
        """Return the declaration of `name`, or None where the model does not take it."""
        return next((p for p in self.parameters if p.name == name), None)


class ModelState(StrEnum):
    """How far a registered model is from drawing."""

    READY = "ready"  # its files are here
    MISSING = "missing"  # `greenroom models pull` fetches them
    UNPINNED = "unpinned"  # `greenroom models pin` resolves the revision first
    UNSUPPORTED = "unsupported"  # it needs what this version cannot do; `reason` says what
    BROKEN = "broken"  # the entry or its files are wrong; `reason` says how


class ModelPart(Frozen):
    """A file on top of the base: `unet` replaces weights, `adapter` is fused with `weight`."""

    kind: Literal["unet", "adapter"]
    path: str
    weight: float = 1.0


class ModelSource(Frozen):
    """Where the worker finds the weights: plain values, since it crosses a process border.

    `kind` folder: a diffusers folder at `path`. `kind` single_file: an SDXL `.safetensors` at
    `path` in its original key names, with `config` the folder of config JSON.
    A part replaces or adapts the base: a UNet's weights, or an adapter fused at load.
    """

    kind: Literal["folder", "single_file"]
    path: str
    config: str | None = None
    parts: tuple[ModelPart, ...] = ()


class EngineModel(Frozen):
    """All that the worker must know to load a model and draw with it."""

    id: ModelId
    family: Literal[Family.SDXL, Family.FLUX]
    source: ModelSource
    fingerprint: str  # changes whenever the weights do; stands in every recipe
    scheduler: str | None
    task: Task = Task.TEXT
    distilled_guidance: bool  # Flux: guidance is an input of the network, not a second row
