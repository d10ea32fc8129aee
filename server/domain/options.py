"""Parameters that one model alone has, and seeds: checked against what the model declares."""

from __future__ import annotations

from server.domain.errors import RequestRefusedError
from server.domain.images import MAX_IMAGES, MAX_SEED, ImageRequest, Options, ParameterValue
from server.domain.models import ModelInfo, ParameterInfo

_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "string": ((str,), "a text"),
    "choice": ((str,), "one of its choices"),
}


def resolved_options(request: ImageRequest, model: ModelInfo) -> Options:
    """Return the options to draw with, the model's defaults filled in.

    Raises:
        RequestRefusedError: the model has no such option, or does not take that value.
    """
    declared = {option.name: option for option in model.remote.options} if model.remote else {}
    for name, value in request.options.items():
        if name not in declared:
            raise RequestRefusedError(
                f"model '{model.id}' has no option '{name}'; it has "
                f"{', '.join(declared) or 'none'}",
                parameter="options",
            )
        check_value(value, declared[name], model.id, parameter="options")
    defaults = {name: p.default for name, p in declared.items() if p.default is not None}
    return {**defaults, **request.options}


def resolved_seed(request: ImageRequest, model: ModelInfo, drawn: int) -> int:
    """Return the first picture's seed; `drawn` made to fit where the request names none.

    Raises:
        RequestRefusedError: the model takes no seed, or none so large.
    """
    most = model.remote.max_seed if model.remote else MAX_SEED
    if request.seed is None:
        return drawn if most is None else drawn % (most - MAX_IMAGES + 2)
    if most is None:
        raise RequestRefusedError(
            f"model '{model.id}' takes no seed, so no picture of it comes twice; leave it out",
            parameter="seed",
        )
    last = request.seed + request.num_images - 1
    if last > most:
        raise RequestRefusedError(
            f"seed {last} of the last picture is more than the {most} that model '{model.id}' "
            "takes",
            parameter="seed",
        )
    return request.seed


def check_value(
    value: ParameterValue, declared: ParameterInfo, model_id: str, *, parameter: str
) -> None:
    """Refuse a value of another type than declared, or outside its choices or range.

    Raises:
        RequestRefusedError: it names the value.
    """
    _check_type(value, declared, model_id, parameter)
    check_range(value, declared, model_id, parameter=parameter)


def check_range(
    asked: ParameterValue, declared: ParameterInfo, model_id: str, *, parameter: str | None = None
) -> None:
    """Refuse a value that is none of the declared choices, or outside the declared range.

    Raises:
        RequestRefusedError: it names the value, and `parameter` or the declared name.
    """
    name, low, high = declared.name, declared.minimum, declared.maximum
    if declared.options and asked not in declared.options:
        raise RequestRefusedError(
            f"model '{model_id}' has no {name} '{asked}'; it has {', '.join(declared.options)}",
            parameter=parameter or name,
        )
    if isinstance(asked, str):
        return
    if (low is not None and asked < low) or (high is not None and asked > high):
        raise RequestRefusedError(
            f"{name} {asked:g} is outside what model '{model_id}' takes: "
            f"{'any' if low is None else f'{low:g}'} to {'any' if high is None else f'{high:g}'}",
            parameter=parameter or name,
        )


def _check_type(
    value: ParameterValue, declared: ParameterInfo, model_id: str, parameter: str
) -> None:
    types, words = _TYPES.get(declared.type, ((), "nothing that can be a default"))
    if isinstance(value, bool) or not isinstance(value, types):
        raise RequestRefusedError(
            f"{declared.name} '{value}' is not what model '{model_id}' takes: {words}",
            parameter=parameter,
        )
