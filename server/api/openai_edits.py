"""OpenAI's edits as a job: what the pictures of a request become for the model that is meant."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass

from server.api.openai_edits_form import Edits, PictureRef
from server.api.openai_form import image_request
from server.domain.errors import InvalidRequestError, RequestRefusedError
from server.domain.images import ImageRequest
from server.domain.keys import Caller
from server.services.pictures import SafePicture
from server.services.services import Services
from server.services.views import ModelView


async def edit_request(edits: Edits, services: Services, caller: Caller) -> ImageRequest:
    """Return the job that `edits` asks for; its pictures are kept as uploads.

    A model that takes references alone looks at all images. Any other starts from the first and
    draws anew what the mask, or without one the image itself, leaves fully transparent; remote
    models may take references beside it.

    Raises:
        RequestRefusedError, InvalidRequestError: what cannot be honoured, before a picture is read.
        TooLargeError, UnreadableImageError, NotFoundError: of a picture.
        FetchRefusedError, FetchFailedError: of an address.
    """
    model = services.models.get(edits.form.model)
    _check(edits, model)
    wanted = image_request(edits.form, model)
    desk = _Desk(services, caller)
    start: dict[str, str] = {}
    looked_at = edits.images
    if _starts_from_one(model):
        start = await desk.start(edits.images[0], edits.mask)
        looked_at = edits.images[1:]
    ids = [await desk.kept(given) for given in looked_at]
    return wanted.model_copy(update={**start, "references": tuple(ids)})


def _starts_from_one(model: ModelView) -> bool:
    """Return whether the first image is what is changed, and no reference like the others."""
    return model.parameter("references") is None or model.parameter("image") is not None


def _check(edits: Edits, model: ModelView) -> None:
    """Refuse what the model cannot do with so many pictures."""
    given = len(edits.images)
    declared = model.parameter("references")
    if declared is not None:
        most = int(declared.maximum or 1) + _starts_from_one(model)
        if given > most:
            _refuse(f"takes at most {most} images; {given} were given", model, "image")
        if edits.mask is not None and not _starts_from_one(model):
            _refuse("edits by what the prompt says and takes no mask", model, "mask")
        return
    if given > 1:
        _refuse(f"starts from one image; {given} were given", model, "image")
    if edits.form.input_fidelity == "high":
        _refuse("has no fidelity to set; strength says how much changes", model, "input_fidelity")


def _refuse(what: str, model: ModelView, parameter: str) -> None:
    raise RequestRefusedError(f"model '{model.id}' {what}", parameter=parameter)


@dataclass(frozen=True, slots=True)
class _Desk:
    """Takes pictures in for one caller."""

    services: Services
    caller: Caller

    async def kept(self, given: bytes | PictureRef) -> str:
        """Return the id of a picture, which is kept unless it is there already."""
        if isinstance(given, PictureRef) and given.file_id is not None:
            return given.file_id
        return await self._keep(await self._safe(given))

    async def start(
        self, image: bytes | PictureRef, mask: bytes | PictureRef | None
    ) -> dict[str, str]:
        """Return the ids of a picture to start from and of its mask, where there is one."""
        picture = await self._safe(image)
        drawn_anew = await self._mask(picture, mask)
        is_here = isinstance(image, PictureRef) and image.file_id
        ids = {"image": is_here or await self._keep(picture)}
        if drawn_anew is not None:
            ids["mask"] = await self._keep(drawn_anew)
        return ids

    async def _mask(
        self, picture: SafePicture, mask: bytes | PictureRef | None
    ) -> SafePicture | None:
        if mask is None:
            return await self.services.uploads.mask(picture)
        given = await self._safe(mask)
        _check_mask(picture, given)
        found = await self.services.uploads.mask(given)
        if found is None:
            raise RequestRefusedError(
                "the mask has no fully transparent pixel, so nothing would be drawn anew",
                parameter="mask",
            )
        return found

    async def _keep(self, picture: SafePicture) -> str:
        return await self.services.uploads.keep_once(picture, self.caller)

    async def _safe(self, given: bytes | PictureRef) -> SafePicture:
        data = given if isinstance(given, bytes) else await self._file(given)
        return await self.services.uploads.safe(data)

    async def _file(self, ref: PictureRef) -> bytes:
        if ref.file_id is not None:
            return await self.services.sources.file(ref.file_id, self.caller)
        url = ref.image_url or ""
        if url[:5].lower() == "data:":
            return await asyncio.to_thread(_inline, url)
        return await self.services.uploads.fetch(url)


def _check_mask(picture: SafePicture, mask: SafePicture) -> None:
    if not mask.has_alpha:
        raise RequestRefusedError(
            "the mask has no alpha channel; make transparent what is to be drawn anew",
            parameter="mask",
        )
    if (mask.width, mask.height) != (picture.width, picture.height):
        raise RequestRefusedError(
            f"the mask is {mask.width} x {mask.height} and the image {picture.width} x "
            f"{picture.height}; they must be of one size",
            parameter="mask",
        )


def _inline(url: str) -> bytes:
    head, _, data = url.partition(",")
    try:
        if head.lower().endswith(";base64"):
            return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise InvalidRequestError("the base64 is damaged", parameter="image_url") from error
    raise InvalidRequestError("a data address must be in base64", parameter="image_url")
