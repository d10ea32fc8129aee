"""Google Gemini: one call a picture, which waits; base64 in JSON comes back."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator, Sequence
from urllib.parse import quote, urlencode

import httpx2

from server.domain.connections import Check, Connection, ProviderKind, RemoteModelInfo
from server.domain.events import Event, Started
from server.domain.images import ResolvedRequest
from server.domain.models import ModelInfo
from server.domain.provider import Estimate, Refusal
from server.domain.sizes import SCALE_OPTION
from server.providers.catalogue import CatalogueCache, Models, absent, listed
from server.providers.declared import estimate, price_of_one, refusal
from server.providers.finishing import Maker, Sources, load_sources, media_type
from server.providers.gemini_answers import NAME, draws, model_page, picture_of, understand
from server.providers.gemini_models import (
    KNOWN,
    gemini_info,
    known_model,
    ratio_of,
    service_id,
)
from server.providers.http import MAX_LIST_BYTES, Call, Service
from server.providers.pace import Pace
from server.providers.remote import Catalogue, LoadSource, in_calls
from server.providers.urls import with_version

URL = "https://generativelanguage.googleapis.com/v1beta"
SECONDS = 180.0
_MOST_PAGES = 10
_OPTION_NAMES = {"temperature": "temperature", "top_p": "topP"}


class GeminiProvider:
    """A connection to the Gemini API."""

    def __init__(
        self,
        connection: Connection,
        *,
        key: str | None,
        client: httpx2.AsyncClient,
        load_source: LoadSource,
        seconds: float,
    ) -> None:
        self._connection = connection
        self._info = gemini_info(connection)
        self._load_source = load_source
        self._seconds = seconds
        self._pace = Pace()
        self._service = Service(
            client,
            NAME,
            with_version(connection.base_url or URL, "/v1beta"),
            headers={} if key is None else {"x-goog-api-key": key},
            key=key,
            understand=understand,
        )
        known = tuple(RemoteModelInfo(id=name, name=one.name) for name, one in KNOWN.items())
        self._catalogue = CatalogueCache(self._list, known)

    async def models(self) -> Sequence[ModelInfo]:
        """Return the connection's model, as declared."""
        return (self._info,)

    async def catalogue(self, *, fresh: bool = False) -> Catalogue:
        """Return the service's models that make pictures."""
        return await self._catalogue.get(fresh=fresh)

    def refusal(self, request: ResolvedRequest) -> Refusal | None:
        """Return the first thing in `request` that the model does not take."""
        return refusal(self._connection, self._info, request)

    async def estimate(self, request: ResolvedRequest) -> Estimate:
        """Return the price, and the seconds as far as they were measured."""
        return estimate(self._info, request, self._pace.seconds)

    async def check(self) -> Check:
        """List the models, which a wrong key cannot."""
        started = time.monotonic()
        models = await self._list()
        self._catalogue.keep(models)
        return Check(
            models=models,
            balance=None,
            limits=absent(models, service_id(self._connection.model)),
            seconds=time.monotonic() - started,
        )

    def generate(
        self, request: ResolvedRequest, *, resend_key: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Draw, one call a picture. Closing this closes the connection; it may be billed still."""
        del resend_key  # the service knows no such thing, so nothing is ever sent again
        return in_calls(request, 1, self._draw)

    async def _draw(
        self, request: ResolvedRequest, first: int, _: int
    ) -> AsyncGenerator[Event, None]:
        sources = await load_sources(request, self._load_source)
        yield Started(first, 1)
        started = time.monotonic()
        body = await asyncio.to_thread(self._body, request, first, sources)
        path = f"/models/{quote(service_id(self._connection.model), safe='')}:generateContent"
        answer = await self._service.send(
            Call("POST", path, body=body, seconds=self._seconds, draws=True)
        )
        data = await asyncio.to_thread(picture_of, answer.body)
        seconds = time.monotonic() - started
        self._pace.learn(seconds)
        maker = Maker(request, sources, ProviderKind.GEMINI, self._connection.model, seeded=True)
        yield await maker.picture(
            first, data, seconds=seconds, cost=price_of_one(self._info, request)
        )

    def _body(self, request: ResolvedRequest, index: int, sources: Sources) -> bytes:
        known = known_model(service_id(self._connection.model))
        image = {"aspectRatio": ratio_of(known, request.width, request.height)}
        if SCALE_OPTION in request.options:
            image["imageSize"] = str(request.options[SCALE_OPTION])
        settings: dict[str, object] = {
            "responseModalities": ["IMAGE"],
            "imageConfig": image,
            "seed": request.seed + index,
        }
        for ours, theirs in _OPTION_NAMES.items():
            if ours in request.options:
                settings[theirs] = request.options[ours]
        parts = [{"text": request.prompt}, *map(_inline, sources.references)]
        body = {"contents": [{"role": "user", "parts": parts}], "generationConfig": settings}
        return json.dumps(body).encode()

    async def _list(self) -> Models:
        found: list[RemoteModelInfo] = []
        token = ""
        for _ in range(_MOST_PAGES):
            asked = {"pageSize": "200", **({"pageToken": token} if token else {})}
            call = Call("GET", f"/models?{urlencode(asked)}", max_bytes=MAX_LIST_BYTES)
            page = model_page((await self._service.send(call)).body)
            found += listed(
                (service_id(one.name), one.display_name) for one in page.models if draws(one)
            )
            token = page.next_page
            if not token:
                break
        return tuple(found)


def _inline(data: bytes) -> dict[str, object]:
    encoded = base64.b64encode(data).decode()
    return {"inlineData": {"mimeType": media_type(data), "data": encoded}}
