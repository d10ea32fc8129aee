"""Which pictures Google's Gemini models draw: sizes, references, options, prices.

Sizes in pixels are about what the service sends for a ratio at 1K; a picture tells its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.domain.connections import Connection, ProviderKind
from server.domain.models import ModelInfo, ParameterInfo, Price, RemoteTerms, Size, SizeRule
from server.domain.sizes import SCALE_OPTION
from server.providers.declared import (
    PRICED_ON,
    parameter,
    price,
    references,
    remote_model,
    size,
)

MAX_SEED = 2**31 - 1  # read as signed and as unsigned 32 bits; this much fits both
_MAX_PIXELS = 4096 * 4096
_RATIOS = (
    size(1024, 1024, "1:1"),
    size(1376, 768, "16:9"),
    size(768, 1376, "9:16"),
    size(1264, 848, "3:2"),
    size(848, 1264, "2:3"),
    size(1200, 896, "4:3"),
    size(896, 1200, "3:4"),
    size(1152, 928, "5:4"),
    size(928, 1152, "4:5"),
    size(1584, 672, "21:9"),
)
_LONG_RATIOS = (
    size(2048, 512, "4:1"),
    size(512, 2048, "1:4"),
    size(3072, 384, "8:1"),
    size(384, 3072, "1:8"),
)
_SCALES = {"512": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}


@dataclass(frozen=True, slots=True)
class GeminiModel:
    """What is known of one model.

    Attributes:
        scales: the sizes it has a word for; empty: it takes no such word.
        prices: of one picture, by the option `image_size` where there is one.
    """

    name: str
    sizes: tuple[Size, ...] = _RATIOS
    scales: tuple[str, ...] = ("1K", "2K", "4K")
    references: int = 3
    prices: tuple[Price, ...] = ()


KNOWN = {
    "gemini-3.1-flash-image": GeminiModel(
        "Gemini 3.1 Flash Image",
        (*_RATIOS, *_LONG_RATIOS),
        ("512", "1K", "2K", "4K"),
        14,
        (
            price(0.045, image_size="512"),
            price(0.067, image_size="1K"),
            price(0.101, image_size="2K"),
            price(0.151, image_size="4K"),
        ),
    ),
    "gemini-3-pro-image": GeminiModel(
        "Gemini 3 Pro Image",
        references=14,
        prices=(
            price(0.134, image_size="1K"),
            price(0.134, image_size="2K"),
            price(0.24, image_size="4K"),
        ),
    ),
    "gemini-3.1-flash-lite-image": GeminiModel(
        "Gemini 3.1 Flash Lite Image", scales=(), prices=(price(0.0336),)
    ),
    "gemini-nano-banana-2.1": GeminiModel(
        "Gemini Nano Banana 2.1",
        (*_RATIOS, *_LONG_RATIOS),
        prices=(price(0.0336, image_size="1K"),),
    ),
}
# Known by name, but no choice to offer: it is being shut down.
_ENDING = {
    "gemini-2.5-flash-image": GeminiModel(
        "Gemini 2.5 Flash Image", scales=(), prices=(price(0.039),)
    )
}


def known_model(model: str) -> GeminiModel:
    """Return what is known of `model`; of a name never heard, what all are known to take."""
    return {**KNOWN, **_ENDING}.get(model) or GeminiModel(model)


def gemini_info(connection: Connection) -> ModelInfo:
    """Return what the connection's model declares."""
    known = known_model(service_id(connection.model))
    terms = RemoteTerms(
        service=ProviderKind.GEMINI.value,
        service_model=connection.model,
        options=tuple(_options(known)),
        size_rule=SizeRule.NEAREST,
        longest_shape=None,
        scales={name: _SCALES[name] for name in known.scales},
        max_seed=MAX_SEED,
        images_per_call=1,
        prices=known.prices,
        token_prices=None,
        priced_on=PRICED_ON if known.prices else None,
    )
    return remote_model(
        connection,
        terms,
        name=known.name,
        description="Drawn by Google; the same seed does not promise the same picture",
        parameters=(references(known.references),),
        sizes=known.sizes,
        size_multiple=8,
        max_pixels=_MAX_PIXELS,
    )


def service_id(model: str) -> str:
    """Return the id without the `models/` that the service puts in front of it."""
    return model.removeprefix("models/")


def ratio_of(known: GeminiModel, width: int, height: int) -> str:
    """Return the declared ratio of a resolved size, at whatever scale."""
    return min(known.sizes, key=lambda s: abs(s.width / s.height - width / height)).aspect_ratio


def _options(known: GeminiModel) -> list[ParameterInfo]:
    free = [
        parameter("temperature", "number", "How freely it draws", limits=(0, 2), step=0.1),
        parameter("top_p", "number", "How many of its own ideas count", limits=(0, 1), step=0.05),
    ]
    if not known.scales:
        return free
    scale = parameter(
        SCALE_OPTION,
        "choice",
        "How large: 1K is about a million pixels, 2K four times that",
        default="1K",
        options=known.scales,
    )
    return [scale, *free]
