"""Another Greenroom server: its models and adapters, drawn with over its native API."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from urllib.parse import quote

import httpx2

from server.domain.adapters import StoredAdapter
from server.domain.connections import Check, Connection, ProviderKind
from server.domain.errors import (
    InvalidRequestError,
    ProviderError,
    ProviderRequestError,
    ProviderUnreachableError,
)
from server.domain.events import Event, Picture
from server.domain.images import MAX_IMAGES, MAX_SEED, ResolvedRequest
from server.domain.models import Family, ModelInfo, RemoteTerms, SizeRule
from server.domain.provider import Estimate, Refusal
from server.domain.resolve import OPTIONAL_PARAMETERS, PICTURE_PARAMETERS
from server.providers import greenroom_answers as answers
from server.providers.catalogue import KEPT_SECONDS, CatalogueCache, Models, listed
from server.providers.declared import estimate, refusal, with_defaults
from server.providers.finishing import Maker, Sources, load_sources, media_type
from server.providers.greenroom_job import RemoteJob
from server.providers.http import MAX_LIST_BYTES, Call, Service
from server.providers.pace import Pace
from server.providers.remote import Catalogue, LoadSource, in_calls

SECONDS = 3600.0  # its queue may be long; a request's own deadline ends it sooner
_ESTIMATE_SECONDS = 5.0
_MOST_KEYS = 9
_MOST_UPLOADS = 256  # whose ids there are remembered
_ENDED_BADLY = ("failed", "cancelled")


class GreenroomProvider:
    """A connection to another Greenroom."""

    def __init__(
        self,
        connection: Connection,
        *,
        key: str | None,
        client: httpx2.AsyncClient,
        load_source: LoadSource,
        seconds: float,
    ) -> None:
        if connection.base_url is None:
            raise InvalidRequestError(
                f"connection '{connection.name}' needs base_url: the other server's address",
                parameter="base_url",
            )
        self._connection = connection
        self._load_source = load_source
        self._seconds = seconds
        self._name = f"'{connection.name}'"
        self._pace = Pace()
        self._info: ModelInfo | None = None
        self._family = Family.REMOTE
        self._asked_at = 0.0
        self._uploads: dict[str, str] = {}
        self._service = Service(
            client,
            self._name,
            connection.base_url,
            headers={} if key is None else {"Authorization": f"Bearer {key}"},
            key=key,
            understand=partial(answers.understand, name=self._name),
        )
        self._catalogue = CatalogueCache(self._list, ())

    async def models(self) -> Sequence[ModelInfo]:
        """Return the connection's model as the other server declares it, now or lately.

        Raises:
            ProviderError: the other server never said, and does not answer now.
        """
        if self._info is None or time.monotonic() - self._asked_at > KEPT_SECONDS:
            try:
                await self._ask_for_model()
            except ProviderUnreachableError:
                if self._info is None:
                    raise
        return () if self._info is None else (self._info,)

    async def adapters(self) -> tuple[StoredAdapter, ...]:
        """Return the adapters there that suit the model, to resolve a request with.

        Raises:
            ProviderError: the other server does not answer.
        """
        await self.models()
        call = Call("GET", "/api/v1/adapters", max_bytes=MAX_LIST_BYTES)
        body = (await self._service.send(call)).body
        return answers.adapters(body, self._name, self._family)

    async def catalogue(self, *, fresh: bool = False) -> Catalogue:
        """Return the models that can draw there now."""
        return await self._catalogue.get(fresh=fresh)

    def refusal(self, request: ResolvedRequest) -> Refusal | None:
        """Return the first thing in `request` that the model does not take, as far as is known."""
        return None if self._info is None else refusal(self._connection, self._info, request)

    async def estimate(self, request: ResolvedRequest) -> Estimate:
        """Return the seconds that the other server says, its own queue included.

        Where it says nothing, and for requests with pictures, which it does not have yet, they are
        those of the last pictures. What it costs there is not known here.
        """
        [info] = await self.models()
        known = estimate(info, request, self._pace.seconds)
        if any(getattr(request, name) for name in PICTURE_PARAMETERS):
            return known
        body = await self._body(request, info, Sources())
        call = Call("POST", "/api/v1/estimates", body=body, seconds=_ESTIMATE_SECONDS)
        try:
            answer = await self._service.send(call)
            said = answers.read(answers.Outlook, answer.body, self._name).total_seconds
        except ProviderError:
            return known
        return known if said is None else replace(known, seconds=said)

    async def check(self) -> Check:
        """List models and adapters, which a wrong key cannot."""
        started = time.monotonic()
        models = await self._list()
        self._catalogue.keep(models)
        count = len(await self.adapters())
        return Check(
            models=models,
            balance=None,
            limits=(f"{count} adapters suit '{self._connection.model}'",),
            seconds=time.monotonic() - started,
        )

    def generate(
        self, request: ResolvedRequest, *, resend_key: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Draw as one job there; closing this cancels it. One `resend_key` is drawn once."""
        key = resend_key or secrets.token_urlsafe(24)
        return in_calls(request, MAX_IMAGES, partial(self._draw, key))

    async def _draw(
        self, key: str, request: ResolvedRequest, _first: int, _count: int
    ) -> AsyncGenerator[Event, None]:
        sources = await load_sources(request, self._load_source)
        [info] = await self.models()
        body = await self._body(request, info, sources)
        job = await self._submit(body, key)
        model = self._connection.model
        seeded = info.remote is not None and info.remote.max_seed is not None
        maker = Maker(request, sources, ProviderKind.GREENROOM, model, seeded=seeded)
        remote = RemoteJob(self._service, job.id, maker, self._seconds)
        async with aclosing(remote.events()) as events:
            async for event in events:
                if isinstance(event, Picture):
                    self._pace.learn(event.duration_seconds)
                yield event

    async def _submit(self, body: bytes, key: str) -> answers.Job:
        """Return the job for `key`: a new one, or the one that an earlier attempt began.

        One that failed or was cancelled is left alone, and another is begun. The same goes for
        one that was of another request: after a restart, a picture that was brought has a new id.
        """
        for attempt in range(_MOST_KEYS):
            call = Call(
                "POST",
                "/api/v1/jobs",
                body=body,
                headers={"Idempotency-Key": key if attempt == 0 else f"{key}.{attempt}"},
                draws=True,
                repeatable=True,
            )
            try:
                answer = await self._service.send(call)
            except answers.KeyTakenError:
                continue
            except ProviderRequestError as error:
                if error.parameter in PICTURE_PARAMETERS:
                    self._uploads.clear()  # one of them was deleted there
                raise
            job = answers.read(answers.Job, answer.body, self._name)
            if job.state not in _ENDED_BADLY:
                return job
        raise ProviderError(f"{self._name} ended {_MOST_KEYS} attempts at this before their time")

    async def _body(self, request: ResolvedRequest, info: ModelInfo, sources: Sources) -> bytes:
        """Return the job to ask for: all that is decided, by the names that both servers use."""
        declared = {p.name for p in info.parameters}
        plain = set(OPTIONAL_PARAMETERS) - {*PICTURE_PARAMETERS, "adapters"}
        values = request.model_dump(mode="json", include=declared & plain, exclude_none=True)
        if "negative_prompt" in declared:
            values.setdefault("negative_prompt", "")  # or the model's own would come back
        for name in ("width", "height", "seed", "num_images", "prompt"):
            values[name] = getattr(request, name)
        if info.remote and info.remote.max_seed is None:
            del values["seed"]
        if request.options:
            values["options"] = dict(request.options)
        if request.adapters:
            values["adapters"] = [{"id": a.id, "weight": a.weight} for a in request.adapters]
        values["fallback"] = "never"  # who else may draw is for the chain on this side to say
        values |= await self._brought(sources)
        values |= {"model": self._connection.model, "format": "png"}  # nothing is lost on the way
        return json.dumps(values).encode()

    async def _brought(self, sources: Sources) -> dict[str, object]:
        ids: dict[str, object] = {}
        if sources.image is not None:
            ids["image"] = await self._upload(sources.image)
        if sources.mask is not None:
            ids["mask"] = await self._upload(sources.mask)
        if sources.references:
            ids["references"] = [await self._upload(data) for data in sources.references]
        return ids

    async def _upload(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._uploads:
            file = ("file", ("picture", data, media_type(data)))
            call = Call("POST", "/api/v1/uploads", files=(file,), seconds=120)
            body = (await self._service.send(call)).body
            while len(self._uploads) >= _MOST_UPLOADS:
                del self._uploads[next(iter(self._uploads))]
            self._uploads[digest] = answers.read(answers.Upload, body, self._name).id
        return self._uploads[digest]

    async def _ask_for_model(self) -> None:
        call = Call("GET", f"/api/v1/models/{quote(self._connection.model, safe='')}")
        theirs = answers.model_info((await self._service.send(call)).body, self._name)
        self._family = theirs.family
        ours = theirs.model_copy(
            update={
                "id": self._connection.name,
                "family": Family.REMOTE,
                "provider": ProviderKind.GREENROOM.value,
                "remote": _terms(theirs, self._connection),
            }
        )
        self._info = with_defaults(ours, self._connection.parameters)
        self._asked_at = time.monotonic()

    async def _list(self) -> Models:
        call = Call("GET", "/api/v1/models", max_bytes=MAX_LIST_BYTES)
        found = answers.listed_models((await self._service.send(call)).body, self._name)
        return tuple(listed((one.id, one.name) for one in found))


def _terms(theirs: ModelInfo, connection: Connection) -> RemoteTerms:
    """Return the terms: those of a service behind the other server, else it draws itself."""
    own = {"service": ProviderKind.GREENROOM.value, "service_model": connection.model}
    if theirs.remote is not None:
        return theirs.remote.model_copy(update={**own, "prices": (), "token_prices": None})
    return RemoteTerms(
        **own,
        options=(),
        size_rule=SizeRule.ANY,
        longest_shape=None,
        scales={},
        max_seed=MAX_SEED,
        images_per_call=MAX_IMAGES,
        prices=(),
        token_prices=None,
        priced_on=None,
    )
