"""What OpenAI's images API is sent: JSON from words, a form with files from pictures."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

from PIL import Image, ImageChops

from server.domain.errors import AppError, ProviderRequestError
from server.domain.images import ParameterValue, ResolvedRequest
from server.domain.models import ModelInfo
from server.providers.finishing import Sources, media_type, opened
from server.providers.http import Files
from server.providers.openai_models import PARTIALS, family_of

_STEPS = ("negative_prompt", "num_inference_steps", "guidance_scale", "true_cfg_scale")


@dataclass(frozen=True, slots=True)
class Body:
    """A call's path and what goes with it: `json`, or `form` with `files`."""

    path: str
    json: bytes | None
    form: dict[str, str | list[str]] | None
    files: Files


def body_of(
    request: ResolvedRequest, info: ModelInfo, sources: Sources, *, first: int, count: int
) -> Body:
    """Return the call that draws pictures `first` and following; blocks while a mask is made.

    Raises:
        ProviderRequestError: a picture of the request cannot be read.
    """
    fields = _fields(request, info, first, count)
    if not sources.pictures:
        return Body("/images/generations", json.dumps(fields).encode(), None, ())
    form: dict[str, str | list[str]] = {
        name: json.dumps(value) if isinstance(value, bool) else str(value)
        for name, value in fields.items()
        if name != "moderation"  # which edits do not have
    }
    return Body("/images/edits", None, form, _files(sources))


def is_streamed(request: ResolvedRequest) -> bool:
    """Return whether unfinished pictures are asked for."""
    return bool(request.options.get(PARTIALS))


def _fields(
    request: ResolvedRequest, info: ModelInfo, first: int, count: int
) -> dict[str, ParameterValue]:
    model = info.remote.service_model if info.remote else info.id
    fields: dict[str, ParameterValue] = {
        "model": model,
        "prompt": request.prompt,
        "n": count,
        "size": f"{request.width}x{request.height}",
        **{name: value for name, value in request.options.items() if name != PARTIALS},
    }
    if family_of(model).is_gpt:
        fields["output_format"] = "png"  # nothing is lost; the asked format is made of it here
        if is_streamed(request):
            fields |= {"stream": True, PARTIALS: request.options[PARTIALS]}
        return fields
    fields["response_format"] = "b64_json"
    asked = {name: getattr(request, name) for name in _STEPS if info.parameter(name)}
    fields |= {name: value for name, value in asked.items() if value is not None}
    if info.remote and info.remote.max_seed is not None:
        fields["seed"] = request.seed + first
    return fields


def _files(sources: Sources) -> Files:
    pictures = sources.pictures
    name = "image" if len(pictures) == 1 else "image[]"
    files = [(name, _file(f"picture-{i}", data)) for i, data in enumerate(pictures)]
    if sources.mask is not None and sources.image is not None:
        files.append(("mask", ("mask.png", _their_mask(sources.mask, sources.image), "image/png")))
    return files


def _file(stem: str, data: bytes) -> tuple[str, bytes, str]:
    kind = media_type(data)
    return f"{stem}.{kind.removeprefix('image/')}", data, kind


def _their_mask(mask: bytes, image: bytes) -> bytes:
    """Return our mask as theirs: of the image's size, and transparent where ours is white."""
    try:
        whole, white = opened(image), opened(mask).convert("L")
    except AppError as error:
        raise ProviderRequestError(
            f"a picture of this request cannot be sent: {error.detail}", parameter="mask"
        ) from error
    if white.size != whole.size:
        white = white.resize(whole.size, Image.Resampling.NEAREST)
    theirs = whole.convert("RGBA")
    theirs.putalpha(ImageChops.invert(white))
    out = io.BytesIO()
    theirs.save(out, "PNG")
    return out.getvalue()
