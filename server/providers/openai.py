"""OpenAI's images API, and every server that speaks it: LocalAI, vLLM-Omni, SGLang and others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial

import httpx2

from server.domain.connections import Check, Connection, ProviderKind, RemoteModelInfo
from server.domain.errors import (
    AppError,
    ProviderAnswerError,
    ProviderError,
    ProviderModelGoneError,
)
from server.domain.events import Event, Picture, Preview, Started
from server.domain.images import ImageFormat, ResolvedRequest
from server.domain.models import ModelInfo
from server.domain.money import Money
from server.domain.provider import Estimate, Refusal
from server.providers.catalogue import CatalogueCache, Models, absent, listed
from server.providers.declared import estimate, price_of_one, refusal
from server.providers.finishing import (
    MAX_PICTURE_BYTES,
    Maker,
    Sources,
    from_base64,
    load_sources,
    preview,
)
from server.providers.http import MAX_LIST_BYTES, Answer, Call, Service
from server.providers.openai_answers import (
    Drawn,
    Partial,
    cost_of,
    event_of,
    images_of,
    model_ids,
    understand,
)
from server.providers.openai_body import body_of, is_streamed
from server.providers.openai_models import KNOWN, MOST_A_CALL, family_of, openai_info
from server.providers.pace import Pace
from server.providers.remote import Catalogue, Fetch, LoadSource, in_calls
from server.providers.urls import with_version

URL = "https://api.openai.com/v1"
SECONDS = 300.0  # a picture of high quality may take two minutes, four of them in one call
_FETCH_SECONDS = 60.0
_LIMIT_HEADERS = {
    "x-ratelimit-limit-requests": "{} requests a minute",
    "x-ratelimit-limit-images": "{} pictures a minute",
    "x-ratelimit-limit-tokens": "{} tokens a minute",
}


class OpenAIProvider:
    """A connection to OpenAI, or to a compatible server where it has an address."""

    def __init__(
        self,
        connection: Connection,
        *,
        key: str | None,
        client: httpx2.AsyncClient,
        fetch: Fetch,
        load_source: LoadSource,
        seconds: float,
    ) -> None:
        self._connection = connection
        self._info = openai_info(connection)
        self._fetch = fetch
        self._load_source = load_source
        self._seconds = seconds
        self._pace = Pace()
        self._name = "OpenAI" if connection.base_url is None else f"'{connection.name}'"
        self._service = Service(
            client,
            self._name,
            with_version(connection.base_url or URL, "/v1"),
            headers={} if key is None else {"Authorization": f"Bearer {key}"},
            key=key,
            understand=partial(understand, name=self._name),
        )
        names = KNOWN if connection.base_url is None else (connection.model,)
        known = tuple(RemoteModelInfo(id=name, name=name) for name in names)
        self._catalogue = CatalogueCache(self._list, known)

    async def models(self) -> Sequence[ModelInfo]:
        """Return the connection's model, as declared."""
        return (self._info,)

    async def catalogue(self, *, fresh: bool = False) -> Catalogue:
        """Return the service's models; OpenAI's only as far as they make pictures."""
        return await self._catalogue.get(fresh=fresh)

    def refusal(self, request: ResolvedRequest) -> Refusal | None:
        """Return the first thing in `request` that the model does not take."""
        if request.options.get("background") == "transparent" and (
            request.format is ImageFormat.JPEG
        ):
            return Refusal("format", "a transparent background needs format png or webp")
        if "input_fidelity" in request.options and not (request.image or request.references):
            return Refusal("options", "input_fidelity is about pictures; give image or references")
        if (request.image or request.references) and (
            request.options.get("moderation", "auto") != "auto"
        ):
            return Refusal("options", "moderation cannot be set where pictures are sent")
        return refusal(self._connection, self._info, request)

    async def estimate(self, request: ResolvedRequest) -> Estimate:
        """Return the price, and the seconds as far as they were measured."""
        return estimate(self._info, request, self._pace.seconds)

    async def check(self) -> Check:
        """List the models, which a wrong key cannot where the server looks at keys."""
        started = time.monotonic()
        models, limits = await self._ask_for_models()
        self._catalogue.keep(models)
        seconds = time.monotonic() - started
        return Check(models=models, balance=None, limits=limits, seconds=seconds)

    def generate(
        self, request: ResolvedRequest, *, resend_key: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Draw. Closing this closes the connection; it may be billed still."""
        del resend_key  # the service knows no such thing, so nothing is ever sent again
        per_call = 1 if is_streamed(request) else MOST_A_CALL  # a stream's events name no picture
        return in_calls(request, per_call, self._draw)

    async def _draw(
        self, request: ResolvedRequest, first: int, count: int
    ) -> AsyncGenerator[Event, None]:
        sources = await load_sources(request, self._load_source)
        call = await self._call(request, sources, first, count)
        seeded = self._info.remote is not None and self._info.remote.max_seed is not None
        maker = Maker(request, sources, ProviderKind.OPENAI, self._connection.model, seeded=seeded)
        for index in range(first, first + count):
            yield Started(index, 1)
        started = time.monotonic()
        async with aclosing(self._answers(call, request)) as answers:
            async for one in answers:
                if isinstance(one, Drawn):
                    seconds = time.monotonic() - started
                    async for picture in self._pictures(one, maker, first, count, seconds):
                        yield picture
                    return
                small = await preview(one.b64)
                if small is not None:
                    yield Preview(first, small)
        raise ProviderAnswerError(
            f"{self._name} ended its stream without a picture", may_have_billed=True
        )

    async def _call(
        self, request: ResolvedRequest, sources: Sources, first: int, count: int
    ) -> Call:
        body = await asyncio.to_thread(
            body_of, request, self._info, sources, first=first, count=count
        )
        return Call(
            "POST",
            body.path,
            body=body.json,
            form=body.form,
            files=body.files,
            seconds=self._seconds,
            draws=True,
        )

    async def _answers(
        self, call: Call, request: ResolvedRequest
    ) -> AsyncGenerator[Drawn | Partial, None]:
        if not is_streamed(request):
            answer = await self._service.send(call)
            yield await asyncio.to_thread(images_of, answer.body, self._name)
            return
        async with aclosing(self._service.events(call)) as events:
            async for event in events:
                if isinstance(event, Answer):  # it knows no streams and answered as ever
                    yield await asyncio.to_thread(images_of, event.body, self._name)
                    return
                one = await asyncio.to_thread(event_of, event.data, self._name)
                if one is not None:
                    yield one

    async def _pictures(
        self, drawn: Drawn, maker: Maker, first: int, count: int, seconds: float
    ) -> AsyncGenerator[Picture, None]:
        """Yield what came and can be read; more than was asked for is left.

        Raises:
            ProviderAnswerError: fewer came, or one cannot be read; after all others.
        """
        came = min(count, len(drawn.b64))
        self._pace.learn(seconds / came)
        problem: ProviderError | None = None
        for index in range(came):
            cost = self._cost(drawn, maker.request, index, came)
            try:
                data = await self._data(drawn, index)
                picture = await maker.picture(first + index, data, seconds=seconds, cost=cost)
            except ProviderError as error:
                problem = problem or error  # the others are drawn and billed all the same
            else:
                yield picture
        if problem is not None:
            raise problem
        if came < count:
            raise ProviderAnswerError(
                f"{self._name} sent {came} of {count} pictures", may_have_billed=True
            )

    async def _data(self, drawn: Drawn, index: int) -> bytes:
        b64 = drawn.b64[index]
        if b64 is None:
            return await self._fetched(drawn.urls[index] or "")
        return await asyncio.to_thread(from_base64, b64)

    def _cost(self, drawn: Drawn, request: ResolvedRequest, index: int, came: int) -> Money | None:
        """Return picture `index`'s part of what the call cost; the parts add up exactly."""
        terms = self._info.remote
        whole = cost_of(drawn.usage, terms.token_prices if terms else None)
        if whole is None:
            return price_of_one(self._info, request)
        part, rest = divmod(whole.micros, came)
        return Money(micros=part + (index < rest), currency=whole.currency)

    async def _fetched(self, url: str) -> bytes:
        """Return a picture by its address: from this very server, or from a public one."""
        if self._service.is_here(url):
            call = Call(
                "GET",
                url,
                accepts=("image/png", "image/webp", "image/jpeg", "application/octet-stream"),
                max_bytes=MAX_PICTURE_BYTES,
                seconds=_FETCH_SECONDS,
            )
            return (await self._service.send(call)).body
        if url.startswith("data:"):
            return await asyncio.to_thread(from_base64, url)
        try:
            return await self._fetch(
                url, max_bytes=MAX_PICTURE_BYTES, timeout_seconds=_FETCH_SECONDS
            )
        except AppError as error:
            raise ProviderAnswerError(
                f"{self._name} drew, but its picture cannot be fetched: {error.detail}",
                may_have_billed=True,
            ) from error

    async def _list(self) -> Models:
        models, _ = await self._ask_for_models()
        return models

    async def _ask_for_models(self) -> tuple[Models, tuple[str, ...]]:
        """Return the models and limits that the service tells.

        Raises:
            ProviderError: it does not answer, or not to this key.
        """
        try:
            answer = await self._service.send(Call("GET", "/models", max_bytes=MAX_LIST_BYTES))
        except ProviderModelGoneError:  # 404: some compatible servers have no list
            return (), ("This server lists no models, so the key was not tried.",)
        ids = model_ids(answer.body, self._name)
        if self._connection.base_url is None:
            ids = tuple(one for one in ids if family_of(one).is_gpt)
        said = (
            words.format(answer.headers[name][:20])
            for name, words in _LIMIT_HEADERS.items()
            if name in answer.headers
        )
        models = tuple(listed((one, one) for one in ids))
        return models, (*said, *absent(models, self._connection.model))
