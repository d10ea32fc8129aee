"""OpenAI's form of a request, and ours made of it. Nothing is dropped: honoured or refused."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue, ValidationError

from server.api.problems import invalid_fields
from server.domain.errors import RequestRefusedError
from server.domain.images import MAX_IMAGES, ImageFormat, ImageRequest
from server.domain.models import SizeRule
from server.services.views import ModelView

Quality = Literal["low", "medium", "high", "xhigh", "max"]
EventKind = Literal["image_generation", "image_edit"]

_QUALITIES: dict[str, Quality] = {
    "auto": "medium",
    "standard": "medium",
    "hd": "high",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
# Of the model's declared steps; what a model draws with by default is its medium.
_STEPS_FACTOR: dict[Quality, float] = {
    "low": 0.5,
    "medium": 1,
    "high": 1.5,
    "xhigh": 2,
    "max": 3,
}
_REFUSED = {
    "output_compression": "the compression of files is fixed",
    "complexity": "there is no planning to spend time on",
    "frame_count": "no animations are drawn",
    "frame_duration_ms": "no animations are drawn",
    "svg": "no vector graphics are drawn",
    "markup": "marks on a picture are not read; say it in the prompt, or give a mask",
}


class ImagesForm(ImageRequest):
    """OpenAI's fields, and beside them every field of a job (as the SDK's `extra_body`)."""

    events: ClassVar[EventKind] = "image_generation"  # how a stream's events are named

    model: str | None = Field(default=None, max_length=100, description="Absent: the default")
    n: int | None = Field(default=None, ge=1, le=MAX_IMAGES)
    size: str | None = Field(
        default=None,
        pattern=r"^(auto|[1-9]\d{0,3}x[1-9]\d{0,3})$",
        description="WIDTHxHEIGHT; auto: the model's first size",
    )
    quality: Literal["auto", "standard", "hd"] | Quality | None = Field(
        default=None,
        description="Fewer or more steps than the model declares; for a remote model that has it, "
        "its own quality",
    )
    output_format: ImageFormat | None = None
    response_format: Literal["b64_json", "url"] | None = Field(
        default=None, description="Absent: b64_json; url: a link that works for an hour"
    )
    stream: bool | None = None
    partial_images: int | None = Field(default=None, ge=0, le=3)
    background: Literal["auto", "opaque", "transparent"] | None = Field(
        default=None, description="Pictures are opaque; transparent is refused"
    )
    moderation: Literal["auto", "low"] | None = Field(
        default=None,
        description="For remote models that have it; here nothing is moderated, so both mean the "
        "same",
    )
    user: str | None = Field(default=None, max_length=1000, description="Repeated in the answer")
    safety_identifier: str | None = Field(
        default=None, max_length=1000, description="Repeated in the answer; wins over user"
    )
    output_compression: JsonValue = Field(default=None, description="Refused")
    complexity: JsonValue = Field(default=None, description="Refused")
    frame_count: JsonValue = Field(default=None, description="Refused")
    frame_duration_ms: JsonValue = Field(default=None, description="Refused")
    svg: JsonValue = Field(default=None, description="Refused")


class EditsForm(ImagesForm):
    """The same for edits; the pictures come beside it, and not as ids in its own fields."""

    events: ClassVar[EventKind] = "image_edit"

    input_fidelity: Literal["low", "high"] | None = Field(
        default=None,
        description="Models that take references look at all of them in full, so both mean the "
        "same; with others low is taken and high is refused",
    )
    markup: JsonValue = Field(default=None, description="Refused")


def image_request(form: ImagesForm, model: ModelView) -> ImageRequest:
    """Return the job that `form` asks for.

    Raises:
        RequestRefusedError, InvalidRequestError: something that cannot be honoured; both name
            the field.
    """
    _refuse(form)
    values = form.model_dump(include=set(ImageRequest.model_fields), exclude_unset=True)
    values["model"] = model.id
    for theirs, ours in (("n", "num_images"), ("output_format", "format")):
        if getattr(form, theirs) is not None:
            _only_one(form, theirs, ours)
            values[ours] = getattr(form, theirs)
    if form.size not in (None, "auto"):
        values |= _pixels(form, model)
    own = _own_options(form, model)
    if own:
        values["options"] = {**own, **form.options}
    if "quality" not in own and quality_of(form) != "medium":
        values["num_inference_steps"] = _steps(form, model)
    try:
        return ImageRequest.model_validate(values)
    except ValidationError as error:  # such as a size beyond what any model draws
        raise invalid_fields(error) from error


def quality_of(form: ImagesForm) -> Quality:
    """Return the quality that is drawn."""
    return _QUALITIES[form.quality or "auto"]


def _refuse(form: ImagesForm) -> None:
    for name, reason in _REFUSED.items():
        if getattr(form, name, None) is not None:
            raise RequestRefusedError(f"{name} is not taken: {reason}", parameter=name)
    if form.background == "transparent":
        raise RequestRefusedError("pictures here are always opaque", parameter="background")
    if form.partial_images and not form.stream:
        raise RequestRefusedError("partial_images needs stream", parameter="partial_images")
    if form.stream and (form.n or form.num_images) > 1:
        raise RequestRefusedError(
            "a stream is of one picture, since its events name none; leave n out", parameter="n"
        )
    if form.stream and form.response_format == "url":
        raise RequestRefusedError(
            "a stream sends pictures as b64_json", parameter="response_format"
        )


def _own_options(form: ImagesForm, model: ModelView) -> dict[str, str]:
    """Return what a remote model has as options of its own; it means by them what it means."""
    declared = {option.name for option in model.remote.options} if model.remote else set()
    asked = {"quality": form.quality, "moderation": form.moderation}
    return {name: value for name, value in asked.items() if value and name in declared}


def _only_one(form: ImagesForm, theirs: str, ours: str) -> None:
    if ours in form.model_fields_set:
        raise RequestRefusedError(f"give {theirs} or {ours}, not both", parameter=theirs)


def _pixels(form: ImagesForm, model: ModelView) -> dict[str, int]:
    for name in ("width", "height", "aspect_ratio"):
        _only_one(form, "size", name)
    width, height = map(int, (form.size or "").split("x"))
    if model.remote is not None and model.remote.size_rule is SizeRule.NEAREST:
        return {"width": width, "height": height}
    sizes = [f"{size.width}x{size.height}" for size in model.sizes]
    fits = width % model.size_multiple == 0 == height % model.size_multiple
    if form.size not in sizes and (not fits or width * height > model.max_pixels):
        raise RequestRefusedError(
            f"model '{model.id}' does not draw {form.size}. Its own sizes are {', '.join(sizes)}; "
            f"others work with both sides a multiple of {model.size_multiple} and at most "
            f"{model.max_pixels} pixels",
            parameter="size",
        )
    return {"width": width, "height": height}


def _steps(form: ImagesForm, model: ModelView) -> int:
    _only_one(form, "quality", "num_inference_steps")
    declared = next((p for p in model.parameters if p.name == "num_inference_steps"), None)
    if declared is None or not isinstance(declared.default, int):
        raise RequestRefusedError(
            f"model '{model.id}' knows one quality; leave it out", parameter="quality"
        )
    steps = round(declared.default * _STEPS_FACTOR[quality_of(form)])
    return int(max(declared.minimum or 1, min(steps, declared.maximum or steps)))
