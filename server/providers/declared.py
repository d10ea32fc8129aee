"""What a model declares, made and read: parameters, defaults, refusals, prices."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from server.domain.connections import Connection
from server.domain.errors import RequestRefusedError
from server.domain.images import ParameterValue, ResolvedRequest
from server.domain.models import (
    Family,
    ModelInfo,
    ParameterInfo,
    ParameterType,
    Price,
    RemoteTerms,
    Size,
    Task,
)
from server.domain.money import Money
from server.domain.options import check_range
from server.domain.provider import Estimate, Refusal
from server.domain.resolve import OPTIONAL_PARAMETERS, PICTURE_PARAMETERS

PRICED_ON = date(2026, 11, 20)  # when the services' prices were last looked up


def parameter(
    name: str,
    type_: ParameterType,
    description: str,
    *,
    default: ParameterValue | None = None,
    limits: tuple[float, float] | None = None,
    step: float | None = None,
    options: tuple[str, ...] = (),
) -> ParameterInfo:
    """Return a declaration; `limits` are the least and the most."""
    low, high = limits or (None, None)
    return ParameterInfo(
        name=name,
        type=type_,
        default=default,
        minimum=low,
        maximum=high,
        step=step,
        options=options,
        description=description,
    )


def references(most: int) -> ParameterInfo:
    """Return the declaration of up to `most` references."""
    return parameter("references", "images", "Pictures that the prompt speaks of", limits=(0, most))


def size(width: int, height: int, aspect_ratio: str) -> Size:
    """Return a size."""
    return Size(width=width, height=height, aspect_ratio=aspect_ratio)


def price(dollars: float, **when: ParameterValue) -> Price:
    """Return a price of one picture, where all of `when` holds."""
    return Price(when=when, cost=usd(dollars))


def usd(dollars: float) -> Money:
    """Return US dollars as exact money."""
    return Money(micros=round(dollars * 1_000_000))


def remote_model(
    connection: Connection,
    terms: RemoteTerms,
    *,
    name: str,
    description: str,
    parameters: tuple[ParameterInfo, ...],
    sizes: tuple[Size, ...],
    size_multiple: int,
    max_pixels: int,
) -> ModelInfo:
    """Return a model under its connection's name, with the connection's defaults."""
    info = ModelInfo(
        id=connection.name,
        name=name,
        family=Family.REMOTE,
        task=Task.TEXT,
        provider=connection.provider.value,
        description=description,
        specialties=(),
        licence="the service's terms",
        gated=False,
        demonstration=False,
        needs_vram_gib=None,
        parameters=parameters,
        sizes=sizes,
        size_multiple=size_multiple,
        max_pixels=max_pixels,
        styles=(),
        remote=terms,
    )
    return with_defaults(info, connection.parameters)


def with_defaults(info: ModelInfo, defaults: Mapping[str, ParameterValue]) -> ModelInfo:
    """Return `info` with other defaults, by the names of its parameters and options."""

    def changed(declared: tuple[ParameterInfo, ...]) -> tuple[ParameterInfo, ...]:
        return tuple(
            one.model_copy(update={"default": defaults.get(one.name, one.default)})
            for one in declared
        )

    terms = info.remote
    if terms is not None:
        terms = terms.model_copy(update={"options": changed(terms.options)})
    return info.model_copy(update={"parameters": changed(info.parameters), "remote": terms})


def refusal(connection: Connection, info: ModelInfo, request: ResolvedRequest) -> Refusal | None:
    """Return the first thing in `request` that the model's declaration does not have."""
    declared = {p.name for p in info.parameters}
    options = {p.name for p in info.remote.options} if info.remote else set()
    for name in OPTIONAL_PARAMETERS:
        nothing = (None, (), ResolvedRequest.model_fields[name].default)
        if getattr(request, name) not in nothing and name not in declared:
            return Refusal(name, f"model '{info.id}' does not take {name}")
    for name in request.options:
        if name not in options:
            return Refusal("options", f"model '{info.id}' has no option '{name}'")
    for name in PICTURE_PARAMETERS:
        if getattr(request, name) and not connection.takes_pictures:
            return Refusal(
                name, f"no pictures may be sent to '{connection.name}'; its owner may allow it"
            )
    return _wrong_default(connection, info)


def _wrong_default(connection: Connection, info: ModelInfo) -> Refusal | None:
    known = (*info.parameters, *(info.remote.options if info.remote else ()))
    takes_seed = info.remote is not None and info.remote.max_seed is not None
    for name, value in connection.parameters.items():
        if name == "seed" and takes_seed:
            continue  # it says that the server takes one; each picture has its own
        declared = next((p for p in known if p.name == name), None)
        if declared is None:
            return Refusal(
                name, f"connection '{connection.name}' sets {name}, which its model does not take"
            )
        try:
            check_range(value, declared, info.id)
        except RequestRefusedError as error:
            return Refusal(name, f"connection '{connection.name}': {error.detail}")
    return None


def estimate(info: ModelInfo, request: ResolvedRequest, seconds: float | None) -> Estimate:
    """Return what the price list says about `request`; unknown is None, never guessed.

    Args:
        info: has the price list.
        request: resolved against it.
        seconds: of one picture, as far as it was measured.
    """
    cost = price_of_one(info, request)
    return Estimate(
        seconds=None if seconds is None else seconds * request.num_images,
        flops=0.0,
        cost=None if cost is None else cost.times(request.num_images),
    )


def price_of_one(info: ModelInfo, request: ResolvedRequest) -> Money | None:
    """Return the price of one picture of `request`."""
    facts = {**request.options, "size": f"{request.width}x{request.height}"}
    for listed in info.remote.prices if info.remote else ():
        if all(facts.get(name) == value for name, value in listed.when.items()):
            return listed.cost
    return None
