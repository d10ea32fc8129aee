"""Which pictures OpenAI's models draw, and what a compatible server may be asked.

OpenAI refuses fields that a model does not know, so every field belongs to a family of models. A
compatible server is sent the bare minimum, and what its connection's parameters name besides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.domain.connections import Connection, ProviderKind
from server.domain.images import MAX_SEED, ParameterValue
from server.domain.models import (
    ModelInfo,
    ParameterInfo,
    ParameterType,
    Price,
    RemoteTerms,
    SizeRule,
    TokenPrices,
)
from server.providers.declared import (
    PRICED_ON,
    parameter,
    price,
    references,
    remote_model,
    size,
    usd,
)

MOST_PICTURES_IN = 16  # of one edit, the picture to start from among them
MOST_A_CALL = 4  # a request has no more; the service would take 10
PARTIALS = "partial_images"
_GPT = re.compile(r"^(?:chatgpt-image|gpt-image)\b")
_NUMBER = re.compile(r"^gpt-image-(\d+(?:\.\d+)?)")
_FIXED_SIZES = (size(1024, 1024, "1:1"), size(1536, 1024, "3:2"), size(1024, 1536, "2:3"))
_FREE_SIZES = (
    *_FIXED_SIZES,
    size(1536, 864, "16:9"),
    size(864, 1536, "9:16"),
    size(1280, 960, "4:3"),
    size(960, 1280, "3:4"),
)
_MAX_PIXELS = 3840 * 2160
_SERVERS_PIXELS = 4096 * 4096


@dataclass(frozen=True, slots=True)
class Listed:
    """What a model costs, by name or by the beginning of its name."""

    prices: tuple[Price, ...] = ()
    tokens: TokenPrices | None = None


def _tokens(text_in: float, image_in: float, image_out: float) -> TokenPrices:
    return TokenPrices(text_in=usd(text_in), image_in=usd(image_in), image_out=usd(image_out))


_SQUARE = "1024x1024"
PRICES = {
    "gpt-image-2.5-": Listed(tokens=_tokens(5, 8, 30)),
    "gpt-image-2.6-": Listed(),
    "gpt-image-2": Listed((price(0.006, quality="low", size=_SQUARE),), _tokens(5, 8, 30)),
    "gpt-image-1.5": Listed(
        (
            price(0.009, quality="low", size=_SQUARE),
            price(0.034, quality="medium", size=_SQUARE),
            price(0.133, quality="high", size=_SQUARE),
        ),
        _tokens(5, 8, 32),
    ),
    "gpt-image-1-mini": Listed(
        (
            price(0.005, quality="low", size=_SQUARE),
            price(0.011, quality="medium", size=_SQUARE),
            price(0.036, quality="high", size=_SQUARE),
        ),
        _tokens(2, 2.5, 8),
    ),
}
# Offered where the service does not list its models; those that end soon are not among them.
KNOWN = ("gpt-image-2", "gpt-image-2.5-sunburst", "gpt-image-2.5-flare")


@dataclass(frozen=True, slots=True)
class Family:
    """What a model's name says about it. `number` is its generation, 0 where it has none."""

    is_gpt: bool
    number: float

    @property
    def draws_any_size(self) -> bool:
        """Whether width and height are free, within limits."""
        return not self.is_gpt or self.number >= 2


def family_of(model: str) -> Family:
    """Return what the name `model` says."""
    number = _NUMBER.match(model)
    return Family(_GPT.match(model) is not None, float(number[1]) if number else 0.0)


def openai_info(connection: Connection) -> ModelInfo:
    """Return what the connection's model declares."""
    family = family_of(connection.model)
    return _gpt(connection, family) if family.is_gpt else _compatible(connection)


def _gpt(connection: Connection, family: Family) -> ModelInfo:
    found = next((PRICES[p] for p in PRICES if connection.model.startswith(p)), Listed())
    is_known = bool(found.prices or found.tokens)
    free = family.draws_any_size
    terms = RemoteTerms(
        service=ProviderKind.OPENAI.value,
        service_model=connection.model,
        options=tuple(_gpt_options(family)),
        size_rule=SizeRule.ANY if free else SizeRule.NEAREST,
        longest_shape=3 if free else None,
        scales={},
        max_seed=None,
        images_per_call=MOST_A_CALL,
        prices=found.prices,
        token_prices=found.tokens,
        priced_on=PRICED_ON if is_known else None,
    )
    return remote_model(
        connection,
        terms,
        name=connection.model,
        description="Drawn by OpenAI, which wants a verified organisation for these models",
        parameters=_PICTURES,
        sizes=_FREE_SIZES if free else _FIXED_SIZES,
        size_multiple=16,
        max_pixels=_MAX_PIXELS,
    )


def _compatible(connection: Connection) -> ModelInfo:
    named = connection.parameters
    known = {one.name: one for one in _TAKEN_WHERE_NAMED}
    others = {name: value for name, value in named.items() if name not in {*known, "seed"}}
    terms = RemoteTerms(
        service=ProviderKind.OPENAI.value,
        service_model=connection.model,
        options=tuple(_named_option(name, value) for name, value in others.items()),
        size_rule=SizeRule.ANY,
        longest_shape=None,
        scales={},
        max_seed=MAX_SEED if "seed" in named else None,
        images_per_call=MOST_A_CALL,
        prices=(),
        token_prices=None,
        priced_on=None,
    )
    return remote_model(
        connection,
        terms,
        name=connection.model,
        description="Drawn by a server that speaks OpenAI's images API",
        parameters=(*(known[name] for name in known if name in named), *_PICTURES),
        sizes=(*_FREE_SIZES, size(512, 512, "1:1")),
        size_multiple=8,
        max_pixels=_SERVERS_PIXELS,
    )


_PICTURES = (
    parameter("image", "image", "Upload or picture to change"),
    parameter("mask", "image", "With image: white is drawn anew, black is kept"),
    references(MOST_PICTURES_IN - 1),
)
# A compatible server may know these; it is asked for them where its connection names them.
_TAKEN_WHERE_NAMED = (
    parameter("negative_prompt", "string", "What the picture should not show"),
    parameter("num_inference_steps", "integer", "Denoising steps", limits=(1, 150), step=1),
    parameter(
        "guidance_scale", "number", "How closely to follow the prompt", limits=(0, 30), step=0.5
    ),
    parameter("true_cfg_scale", "number", "Guidance by two rows", limits=(0, 30), step=0.5),
)


def _gpt_options(family: Family) -> list[ParameterInfo]:
    more = ("xhigh", "max") if family.number >= 2.5 else ()
    options = [
        parameter(
            "quality",
            "choice",
            "More takes longer and costs more; auto: the service decides",
            default="auto",
            options=("auto", "low", "medium", "high", *more),
        ),
        parameter(
            "background",
            "choice",
            "transparent needs format png or webp",
            default="auto",
            options=("auto", "opaque", "transparent"),
        ),
        parameter("moderation", "choice", "How strictly", default="auto", options=("auto", "low")),
        parameter(
            PARTIALS,
            "integer",
            "Unfinished pictures to show meanwhile; each costs about 100 tokens more",
            default=0,
            limits=(0, 3),
            step=1,
        ),
    ]
    if family.number >= 2.5:
        options.append(
            parameter("complexity", "choice", "Planning", options=("low", "medium", "high"))
        )
    if family.number == 1.5:
        options.append(
            parameter(
                "input_fidelity",
                "choice",
                "With image: how exactly it is kept",
                options=("low", "high"),
            )
        )
    return options


def _named_option(name: str, value: ParameterValue) -> ParameterInfo:
    """Return a parameter that only the connection knows; it takes what its default is."""
    kind: ParameterType = "string"
    if isinstance(value, float):
        kind = "number"
    elif isinstance(value, int):
        kind = "integer"
    return parameter(name, kind, _BY_CONNECTION)


_BY_CONNECTION = "As the connection names it, passed on as it is"
