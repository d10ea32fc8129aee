"""The body of OpenAI's edits, as files or in JSON: read under caps, nothing decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from fastapi import Request
from pydantic import ConfigDict, Field, ValidationError, model_validator

from server.api.bodies import MultipartCaps, content_type, json_body, multipart
from server.api.openai_fields import nested
from server.api.openai_form import EditsForm
from server.api.problems import invalid_fields
from server.domain.errors import InvalidRequestError, RequestRefusedError
from server.domain.images import Frozen, Id
from server.domain.resolve import PICTURE_PARAMETERS

MAX_GIVEN = 16  # as OpenAI has it; what the model takes is checked by name
_IN_ALL = 4  # files of full size; more are taken where they are smaller
_MAX_FIELDS = 64
_FILES = {"image": "image", "image[]": "image", "mask": "mask"}
_BASE64_GROWTH = 4 / 3
_REF = "#/components/schemas/{model}"


class PictureRef(Frozen):
    """A picture of a JSON body: exactly one of the two."""

    image_url: str | None = Field(
        default=None, min_length=1, description="A public address, or `data:image/png;base64,...`"
    )
    file_id: Id | None = Field(default=None, description="Id of an upload or picture here")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.image_url is None) == (self.file_id is None):
            raise ValueError("give image_url or file_id, one of the two")
        return self


class EditsJson(Frozen):
    """The pictures of a JSON body; all other fields are EditsForm's."""

    model_config = ConfigDict(extra="allow")

    images: tuple[PictureRef, ...] = Field(min_length=1, max_length=MAX_GIVEN)
    mask: PictureRef | None = None


@dataclass(frozen=True, slots=True)
class Edits:
    """A request as it was sent; nothing of its pictures is decoded or fetched yet."""

    form: EditsForm
    images: tuple[bytes | PictureRef, ...]
    mask: bytes | PictureRef | None


async def read_edits(request: Request, *, max_file_bytes: int) -> Edits:
    """Return what a multipart or JSON body asks for.

    Raises:
        InvalidRequestError: it is neither, or wrong in its form.
        TooLargeError: a file, or all together, are too large.
    """
    kind = content_type(request)
    if kind == "multipart/form-data":
        return await _from_multipart(request, max_file_bytes)
    if kind == "application/json":
        most = int(_IN_ALL * max_file_bytes * _BASE64_GROWTH)
        body = await json_body(request, EditsJson, max_bytes=most)
        return Edits(_form(body.model_extra or {}), body.images, body.mask)
    raise InvalidRequestError(
        "send multipart/form-data with 'image', or application/json with 'images'",
        parameter="Content-Type",
    )


async def _from_multipart(request: Request, max_file_bytes: int) -> Edits:
    caps = MultipartCaps(
        files=MAX_GIVEN + 2,  # mask and markup
        fields=_MAX_FIELDS,
        file_bytes=max_file_bytes,
        all_bytes=_IN_ALL * max_file_bytes,
    )
    body = await multipart(request, caps)
    files: dict[str, list[bytes]] = {"image": [], "mask": []}
    fields = nested(body.fields)
    for name, data in body.files:
        if name in _FILES:
            files[_FILES[name]].append(data)
        else:
            fields[name] = "a file"  # refused by its name, as any field that is not known
    if not 1 <= len(files["image"]) <= MAX_GIVEN:
        raise InvalidRequestError(
            f"{len(files['image'])} images; send 1 to {MAX_GIVEN} as 'image' or 'image[]'",
            parameter="image",
        )
    if len(files["mask"]) > 1:
        raise InvalidRequestError("more than one mask", parameter="mask")
    return Edits(_form(fields), tuple(files["image"]), next(iter(files["mask"]), None))


def _form(fields: dict[str, Any]) -> EditsForm:
    for name in PICTURE_PARAMETERS:
        if fields.get(name) is not None:
            raise RequestRefusedError(
                f"{name} is no text here; send a file, or `images` and `mask` in a JSON body",
                parameter=name,
            )
    try:
        return EditsForm.model_validate(fields)
    except ValidationError as error:
        raise invalid_fields(error) from error


def edits_body() -> dict[str, Any]:
    """Return OpenAPI's words for both forms of the body, drawn from the types above."""
    form = EditsForm.model_json_schema(ref_template=_REF)["properties"]
    plain = {name: said for name, said in form.items() if name not in PICTURE_PARAMETERS}
    file = {"type": "string", "format": "binary"}
    files = {"image": {"type": "array", "items": file, "maxItems": MAX_GIVEN}, "mask": file}
    refs = EditsJson.model_json_schema(ref_template=_REF)["properties"]

    def body(pictures: dict[str, Any], needed: str) -> dict[str, Any]:
        properties = {**pictures, **plain}
        needs = [needed, "prompt"]
        return {"schema": {"type": "object", "required": needs, "properties": properties}}

    content = {
        "multipart/form-data": body(files, "image"),
        "application/json": body(refs, "images"),
    }
    return {"requestBody": {"required": True, "content": content}}
