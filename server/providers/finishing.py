"""From a service's bytes to a picture of ours: looked at, measured, written with its recipe."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from PIL import Image

from server.domain.connections import ProviderKind
from server.domain.errors import AppError, ProviderAnswerError, TooLargeError, UnreadableImageError
from server.domain.events import Picture
from server.domain.images import ImageFormat, ResolvedRequest
from server.domain.money import Money
from server.domain.recipes import Recipe, RemoteEngine
from server.pictures.encode import encode_image, encode_preview
from server.pictures.foreign import decoded
from server.providers.http import greenroom_version
from server.providers.remote import LoadSource

MAX_PICTURE_BYTES = 64 * 2**20
_MAX_PIXELS = 40_000_000  # the largest size on offer anywhere has 17 million
_FORMATS = ("PNG", "JPEG", "WEBP")
_PREVIEW_PIXELS = 512
_TO_STANDARD = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Sources:
    """The files that a request names."""

    image: bytes | None = None
    mask: bytes | None = None
    references: tuple[bytes, ...] = ()

    @property
    def pictures(self) -> tuple[bytes, ...]:
        """The picture to start from, then the references."""
        return (*(() if self.image is None else (self.image,)), *self.references)


async def load_sources(request: ResolvedRequest, load: LoadSource) -> Sources:
    """Return the files that `request` names."""
    return Sources(
        image=None if request.image is None else await load(request.image),
        mask=None if request.mask is None else await load(request.mask),
        references=tuple([await load(one) for one in request.references]),
    )


@dataclass(frozen=True, slots=True)
class Maker:
    """Who draws a request's pictures, and from what."""

    request: ResolvedRequest
    sources: Sources
    kind: ProviderKind
    model: str
    seeded: bool

    async def picture(
        self,
        index: int,
        data: bytes,
        *,
        seconds: float,
        cost: Money | None,
        facts: Mapping[str, object] = MappingProxyType({}),
    ) -> Picture:
        """Return picture `index`, re-encoded as asked for with its recipe inside.

        Args:
            index: of the request's pictures.
            data: the file as it came.
            seconds: that the service took.
            cost: that it charged; None: not known.
            facts: fields of the recipe that the service told.

        Raises:
            ProviderAnswerError: the bytes are no picture, or far too large a one.
        """
        try:
            return await asyncio.to_thread(self._picture, index, data, seconds, cost, facts)
        except (UnreadableImageError, TooLargeError) as error:
            raise ProviderAnswerError(
                f"what the service sent as picture cannot be used: {error.detail}",
                may_have_billed=True,
            ) from error

    def _picture(
        self,
        index: int,
        data: bytes,
        seconds: float,
        cost: Money | None,
        facts: Mapping[str, object],
    ) -> Picture:
        image = opened(data)
        if self.request.format is ImageFormat.JPEG:
            image = image.convert("RGB")
        recipe = self.recipe(index, image, facts)
        return Picture(
            index=index,
            data=encode_image(image, recipe),
            format=self.request.format,
            width=image.width,
            height=image.height,
            recipe=recipe,
            duration_seconds=seconds,
            device_seconds=0.0,
            cost=cost,
        )

    def recipe(self, index: int, image: Image.Image, facts: Mapping[str, object]) -> Recipe:
        """Return picture `index`'s own recipe; the size is the real one."""
        asked = self.request.model_dump(
            include=set(Recipe.model_fields) - {"seed", "width", "height"}
        )
        sources = self.sources
        return Recipe.model_validate(
            {
                "profile": "exact",  # where nothing else can be asked for
                **asked,
                "fingerprint": None,
                "seed": self.request.seed + index,
                "width": image.width,
                "height": image.height,
                "image": _sha256(sources.image),
                "mask": _sha256(sources.mask),
                "references": tuple(map(_sha256, sources.references)),
                "engine": None,
                "remote": RemoteEngine(
                    provider=self.kind,
                    model=self.model,
                    seeded=self.seeded,
                    greenroom=greenroom_version(),
                ),
                "created_at": datetime.now(UTC),
                **facts,
            }
        )


def opened(data: bytes) -> Image.Image:
    """Return a picture's pixels, without what its file said beside them.

    Raises:
        UnreadableImageError, TooLargeError: it cannot be used.
    """
    image = decoded(data, max_pixels=_MAX_PIXELS, formats=_FORMATS)
    image.info.clear()  # such as a colour profile that the pixels no longer follow
    return image


async def preview(encoded: str) -> bytes | None:
    """Return an unfinished picture, given as base64, as a small JPEG; None where it is none.

    A broken preview is no reason to lose the picture.
    """
    try:
        return await asyncio.to_thread(_preview, encoded)
    except AppError:
        return None


def _preview(encoded: str) -> bytes:
    image = opened(from_base64(encoded)).convert("RGB")
    image.thumbnail((_PREVIEW_PIXELS, _PREVIEW_PIXELS))
    return encode_preview(image)


def from_base64(text: str) -> bytes:
    """Return the bytes of base64, in either alphabet, with or without `data:` before it.

    Raises:
        ProviderAnswerError: it is none, or too long.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if len(text) * 3 // 4 > MAX_PICTURE_BYTES:
        raise ProviderAnswerError(
            f"the service sent a picture of more than {MAX_PICTURE_BYTES} bytes",
            may_have_billed=True,
        )
    plain = text.translate(_TO_STANDARD).rstrip("=\r\n ")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProviderAnswerError(
            "the service sent a picture that is no base64", may_have_billed=True
        ) from error


def media_type(data: bytes) -> str:
    """Return what a picture file of ours is, by its first bytes."""
    if data.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if data[8:12] == b"WEBP" else "image/jpeg"


def _sha256(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()
