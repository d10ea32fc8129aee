"""From what was asked to what will run: defaults filled in, everything else refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from server.domain.adapters import StoredAdapter, drawn_adapters, with_tags_read
from server.domain.errors import RequestRefusedError
from server.domain.images import (
    AdapterRef,
    ImageRequest,
    Outpaint,
    Pair,
    ParameterValue,
    Profile,
    ResolvedRequest,
)
from server.domain.models import Family, ModelInfo, ParameterInfo, Style, Task
from server.domain.options import check_range, resolved_options, resolved_seed
from server.domain.prompt_weights import parse
from server.domain.sizes import SourcePixels, check_mask, scaled, size_of, with_scale_chosen

# Ids of pictures. A recipe has their hashes instead.
PICTURE_PARAMETERS = ("image", "mask", "references")
# Parameters that a model may or may not take. The others (prompt, seed, size, ...) all models take.
OPTIONAL_PARAMETERS = (
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "guidance_rescale",
    "true_cfg_scale",
    "scheduler",
    "max_sequence_length",
    "clip_skip",
    "original_size",
    "crops_coords_top_left",
    "target_size",
    "negative_original_size",
    "negative_crops_coords_top_left",
    "negative_target_size",
    "image",
    "strength",
    "mask",
    "outpaint",
    "references",
    "adapters",
    "profile",
)
_LISTS = ("images", "adapters")  # types whose maximum is how many
_FULL_STRENGTH = 1.0

Asked = ParameterValue | Pair | Outpaint | tuple[str, ...] | tuple[AdapterRef, ...]


def resolve(
    request: ImageRequest,
    model: ModelInfo,
    *,
    seed: int,
    given: SourcePixels | None = None,
    adapters: Mapping[str, StoredAdapter] = MappingProxyType({}),
) -> ResolvedRequest:
    """Return `request` with every value decided.

    Args:
        request: as it came in.
        model: its declared parameters decide what is allowed and what the defaults are.
        seed: used where the request names none.
        given: sizes of the pictures that the request names; None: it names none.
        adapters: those that there are, by id.

    Raises:
        RequestRefusedError: the model does not take a parameter, or not that value; the message
            names the value and what would do.
    """
    given = given or SourcePixels()
    request = with_scale_chosen(with_tags_read(request), model)
    values = {name: _value(request, model, name) for name in OPTIONAL_PARAMETERS}
    _check_pictures(request, model)
    _check_negative_sizes(request)
    check_mask(given)
    options = resolved_options(request, model)
    width, height = scaled(size_of(request, model, given), model, options)
    style = _style(request.style, model)
    prompt = style.prompt.replace("{prompt}", request.prompt) if style else request.prompt
    negative_prompt = _negative(request, style, model)
    if model.family is Family.SDXL:
        parse(prompt, "prompt")  # raises what is wrong with a weight, before any cost
        parse(negative_prompt or "", "negative_prompt")
    return ResolvedRequest.model_validate(
        {
            **values,
            "model": model.id,
            "prompt": prompt,
            "negative_prompt": negative_prompt,
            "strength": _strength(request, model),
            "profile": values["profile"] or Profile.EXACT,
            "references": request.references,
            "adapters": drawn_adapters(request.adapters, model, adapters),
            "options": options,
            "width": width,
            "height": height,
            "num_images": request.num_images,
            "seed": resolved_seed(request, model, seed),
            "format": request.format,
        }
    )


def _check_pictures(request: ImageRequest, model: ModelInfo) -> None:
    repaints = request.mask is not None or request.outpaint is not None
    if model.task is Task.FILL and (request.image is None or not repaints):
        raise RequestRefusedError(
            f"model '{model.id}' repaints a picture: give image and mask, or image and outpaint",
            parameter="image" if request.image is None else "mask",
        )
    for name in ("strength", "mask", "outpaint"):
        if getattr(request, name) is not None and request.image is None:
            raise RequestRefusedError(f"{name} needs an image to start from", parameter=name)


def _check_negative_sizes(request: ImageRequest) -> None:
    """Refuse what SDXL's pipelines would silently leave out."""
    original, target = request.negative_original_size, request.negative_target_size
    crop = "negative_crops_coords_top_left"
    if request.image is not None:
        if getattr(request, crop) is not None:
            raise RequestRefusedError(f"{crop} is for words alone; leave it out", parameter=crop)
    elif (original is None) != (target is None) or (getattr(request, crop) and original is None):
        missing = "negative_original_size" if original is None else "negative_target_size"
        raise RequestRefusedError(
            "without an image the negative sizes count only together: give "
            "negative_original_size and negative_target_size",
            parameter=missing,
        )


def _strength(request: ImageRequest, model: ModelInfo) -> ParameterValue | None:
    """Return how much is drawn anew.

    What a mask covers is to become something else, so a model that was not made for masks redraws
    all of it unless asked otherwise. One that was made for them has said what suits it.
    """
    declared = model.parameter("strength")
    if request.image is None or declared is None or request.strength is not None:
        return request.strength
    if model.task is Task.TEXT and (request.mask is not None or request.outpaint is not None):
        return min(_FULL_STRENGTH, declared.maximum or _FULL_STRENGTH)
    return declared.default


def _value(request: ImageRequest, model: ModelInfo, name: str) -> Asked | None:
    asked: Asked | None = getattr(request, name)
    declared = model.parameter(name)
    if asked is None or asked == ():
        return None if declared is None else declared.default
    if declared is None and asked is Profile.EXACT:
        return None  # what every model does
    if declared is None:
        taken = ", ".join(p.name for p in model.parameters)
        raise RequestRefusedError(
            f"model '{model.id}' does not take {name}; it takes {taken}", parameter=name
        )
    _check(asked, declared, model.id)
    return asked


def _check(asked: Asked, declared: ParameterInfo, model_id: str) -> None:
    most = declared.maximum or 1
    if declared.type in _LISTS and isinstance(asked, tuple) and len(asked) > most:
        raise RequestRefusedError(
            f"model '{model_id}' takes at most {most:g} {declared.name}; {len(asked)} were given",
            parameter=declared.name,
        )
    if isinstance(asked, (int, float, str)):
        check_range(asked, declared, model_id)


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


def _negative(request: ImageRequest, style: Style | None, model: ModelInfo) -> str | None:
    declared = model.parameter("negative_prompt")
    if declared is None:
        return None
    asked = declared.default if request.negative_prompt is None else request.negative_prompt
    words = [w for w in (asked, style.negative_prompt if style else "") if w]
    return ", ".join(str(w) for w in words) or None
