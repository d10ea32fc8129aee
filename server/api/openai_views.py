"""OpenAI's answers, field by field as the SDK's types have them; null fields are left out."""

from __future__ import annotations

from typing import Literal

from server.api.openai_form import Quality
from server.domain.images import Frozen, ImageFormat


class TokenDetails(Frozen):
    """Tokens by kind."""

    image_tokens: int
    text_tokens: int


class Usage(Frozen):
    """Tokens: always zero, since nothing here is counted or billed by them."""

    input_tokens: int
    input_tokens_details: TokenDetails
    output_tokens: int
    total_tokens: int


NO_USAGE = Usage(
    input_tokens=0,
    input_tokens_details=TokenDetails(image_tokens=0, text_tokens=0),
    output_tokens=0,
    total_tokens=0,
)


class ImageData(Frozen):
    """One picture, as base64 or as a link; `revised_prompt` only where a style changed it."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


class ImagesAnswer(Frozen):
    """The pictures of one request."""

    created: int
    background: Literal["opaque"]
    data: tuple[ImageData, ...]
    output_format: ImageFormat
    quality: Quality
    safety_identifier: str | None = None
    size: str
    usage: Usage


class PartialImage(Frozen):
    """An unfinished picture, as a small JPEG whatever format was asked for."""

    type: Literal["image_generation.partial_image", "image_edit.partial_image"]
    b64_json: str
    background: Literal["opaque"]
    created_at: int
    output_format: ImageFormat
    partial_image_index: int
    quality: Quality
    size: str


class CompletedImage(Frozen):
    """The finished picture; the last event of a stream."""

    type: Literal["image_generation.completed", "image_edit.completed"]
    b64_json: str
    background: Literal["opaque"]
    created_at: int
    output_format: ImageFormat
    quality: Quality
    safety_identifier: str | None = None
    size: str
    usage: Usage


class ModelEntry(Frozen):
    """A model that can draw now. `created` is 0: models here have no date."""

    id: str
    created: int
    object: Literal["model"]
    owned_by: str


class ModelEntries(Frozen):
    """All models that can draw now."""

    object: Literal["list"]
    data: tuple[ModelEntry, ...]
