"""From what was asked to what will run: defaults filled in, everything else refused by name."""

from __future__ import annotations

from server.domain.errors import RequestRefusedError
from server.domain.images import ImageRequest, ResolvedRequest
from server.domain.models import ModelInfo, ParameterInfo, ParameterValue, Size, Style

# Parameters that a model may or may not take. The others (prompt, seed, size, ...) all models take.
OPTIONAL_PARAMETERS = (
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "true_cfg_scale",
    "scheduler",
    "max_sequence_length",
    "image",
    "strength",
)


def resolve(request: ImageRequest, model: ModelInfo, *, seed: int) -> ResolvedRequest:
    """Return `request` with every value decided.

    Args:
        request: as it came in.
        model: its declared parameters decide what is allowed and what the defaults are.
        seed: used where the request names none.

    Raises:
        RequestRefusedError: the model does not take a parameter, or not that value; the message
            names the value and what would do.
    """
    values = {name: _value(request, model, name) for name in OPTIONAL_PARAMETERS}
    if request.strength is not None and request.image is None:
        raise RequestRefusedError("strength needs an image to start from", parameter="strength")
    if request.image is None:
        values["strength"] = None
    size = _size(request, model)
    style = _style(request.style, model)
    return ResolvedRequest.model_validate(
        {
            **values,
            "model": model.id,
            "prompt": style.prompt.replace("{prompt}", request.prompt) if style else request.prompt,
            "negative_prompt": _negative(values["negative_prompt"], style, model),
            "width": size[0],
            "height": size[1],
            "num_images": request.num_images,
            "seed": seed if request.seed is None else request.seed,
            "format": request.format,
        }
    )


def _value(request: ImageRequest, model: ModelInfo, name: str) -> ParameterValue | None:
    asked: ParameterValue | None = getattr(request, name)
    declared = model.parameter(name)
    if asked is None:
        return None if declared is None else declared.default
    if declared is None:
        taken = ", ".join(p.name for p in model.parameters)
        raise RequestRefusedError(
            f"model '{model.id}' does not take {name}; it takes {taken}", parameter=name
        )
    _check(asked, declared, model.id)
    return asked


def _check(asked: ParameterValue, declared: ParameterInfo, model_id: str) -> None:
    if declared.options and asked not in declared.options:
        raise RequestRefusedError(
            f"model '{model_id}' has no {declared.name} '{asked}'; "
            f"it has {', '.join(declared.options)}",
            parameter=declared.name,
        )
    if isinstance(asked, str):
        return
    low, high = declared.minimum, declared.maximum
    if (low is not None and asked < low) or (high is not None and asked > high):
        raise RequestRefusedError(
            f"{declared.name} {asked:g} is outside what model '{model_id}' takes: "
            f"{'any' if low is None else f'{low:g}'} to {'any' if high is None else f'{high:g}'}",
            parameter=declared.name,
        )


def _size(request: ImageRequest, model: ModelInfo) -> tuple[int, int]:
    if request.aspect_ratio is not None:
        return _shape(request, model)
    first = model.sizes[0]
    if request.width is None and request.height is None:
        return first.width, first.height
    if request.width is None or request.height is None:
        missing = "width" if request.width is None else "height"
        raise RequestRefusedError("width and height go together; one is missing", parameter=missing)
    for name, pixels in (("width", request.width), ("height", request.height)):
        if pixels % model.size_multiple:
            near = max(
                model.size_multiple, round(pixels / model.size_multiple) * model.size_multiple
            )
            raise RequestRefusedError(
                f"{name} {pixels} is not a multiple of {model.size_multiple}, which "
                f"model '{model.id}' needs; {near} is",
                parameter=name,
            )
    if request.width * request.height > model.max_pixels:
        raise RequestRefusedError(
            f"{request.width} x {request.height} is more than the {model.max_pixels} pixels that "
            f"model '{model.id}' draws",
            parameter="width",
        )
    return request.width, request.height


def _shape(request: ImageRequest, model: ModelInfo) -> tuple[int, int]:
    if request.width is not None or request.height is not None:
        raise RequestRefusedError(
            "give aspect_ratio or width and height, not both", parameter="aspect_ratio"
        )
    found: Size | None = next(
        (s for s in model.sizes if s.aspect_ratio == request.aspect_ratio), None
    )
    if found is None:
        shapes = ", ".join(s.aspect_ratio for s in model.sizes)
        raise RequestRefusedError(
            f"model '{model.id}' has no size of shape {request.aspect_ratio}; it has {shapes}",
            parameter="aspect_ratio",
        )
    return found.width, found.height


def _style(style_id: str | None, model: ModelInfo) -> Style | None:
    if style_id is None:
        return None
    found = next((s for s in model.styles if s.id == style_id), None)
    if found is None:
        have = ", ".join(s.id for s in model.styles) or "none"
        raise RequestRefusedError(
            f"model '{model.id}' has no style '{style_id}'; it has {have}", parameter="style"
        )
    return found


def _negative(asked: ParameterValue | None, style: Style | None, model: ModelInfo) -> str | None:
    words = [w for w in (asked, style.negative_prompt if style else "") if w]
    if model.parameter("negative_prompt") is None:
        return None
    return ", ".join(str(w) for w in words) or None
