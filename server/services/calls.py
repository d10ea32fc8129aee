"""Draws pictures with a connection: the call is on record before it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import structlog

from server.domain.errors import AppError, ModelUnavailableError, ProviderAnswerError, ProviderError
from server.domain.events import Failed
from server.domain.images import ResolvedRequest
from server.domain.routes import Member, Outcome, Tried
from server.providers.remote import RemoteProvider
from server.services.active import ActiveJob
from server.services.fairness import Unit
from server.services.lanes import Lane, Lanes
from server.services.record import Record
from server.services.remote_models import Remote
from server.services.runner import Runner
from server.store.store import Store

log = structlog.get_logger(__name__)

_DEVICE = "remote"  # beside the devices of workers, where measured speeds are kept


class Calls:
    """Makes calls and keeps what comes of them."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        record: Record,
        lanes: Lanes,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._runner = runner
        self._record = record
        self._lanes = lanes
        self._clock = clock

    async def restore(self) -> None:
        """Take up the speeds that were measured before."""
        self._lanes.rates.update(await self._store.rates.all(_DEVICE))

    async def draw(
        self, active: ActiveJob, due: Unit, member: Member, remote: Remote, lane: Lane
    ) -> None:
        """Draw the pictures of `due` in one call; what came is kept, whatever becomes of the rest.

        Raises:
            AppError: why not all of them came.
        """
        begun = await self._record.begin(active, remote.name, due.pictures)
        started = self._clock()
        try:
            failed = await self._events(active, due, member, remote, begun)
        except asyncio.CancelledError:
            if active.ended.is_set():  # else this server ends, and the line stays as it is
                lane.ended[Outcome.CANCELLED] += 1
                await self._record.cancelled(active, begun, self._clock() - started)
            raise
        seconds = self._clock() - started
        missing = [picture for picture in due.pictures if picture not in active.stored]
        error = _worst(failed, missing, remote.name)
        drew = [picture for picture in due.pictures if picture in active.stored]
        await self._record.end(
            active, begun, drew=drew, failed=missing, error=error, seconds=seconds
        )
        if error is None:
            lane.breaker.succeeded()
            await self._learn(remote.name, due.count, seconds)
            lane.ended[Outcome.DREW] += 1
            await self._runner.complete(active)
            return
        lane.breaker.failed(error)
        lane.ended[Outcome.FAILED] += 1
        log.warning("call.failed", job_id=due.job_id, connection=remote.name, code=error.code)
        raise error

    async def _events(
        self, active: ActiveJob, due: Unit, member: Member, remote: Remote, begun: Tried
    ) -> dict[int, AppError]:
        """Keep what comes; return the errors of the pictures that do not."""
        failed: dict[int, AppError] = {}
        resolved = active.resolved(member)
        request = resolved.model_copy(
            update={"num_images": due.count, "seed": resolved.seed + due.index}
        )
        # The line's number stays the same when a call is sent again, and is its own else.
        key = f"{due.job_id}-{begun.number}"
        try:
            provider = _usable(remote, member, request)
            async with aclosing(provider.generate(request, resend_key=key)) as events:
                async for event in events:
                    index = due.index + event.index
                    if isinstance(event, Failed):
                        failed[index] = event.error
                    elif index in due.pictures and index not in active.stored:
                        await self._runner.take(active, index, event, remote.name)
        except AppError as error:
            for index in due.pictures:
                failed.setdefault(index, error)
        return failed

    async def _learn(self, name: str, count: int, seconds: float) -> None:
        rate = self._lanes.rates.learn(name, count, seconds)
        await self._runner.persist(lambda: self._store.rates.save(_DEVICE, name, rate))


def _usable(remote: Remote, member: Member, request: ResolvedRequest) -> RemoteProvider:
    """Return what draws `request`, unless its connection was changed since the job came.

    Raises:
        ModelUnavailableError: it must not be called, or not for this, any longer.
    """
    name = remote.name
    if remote.provider is None:
        raise ModelUnavailableError(f"connection '{name}' cannot be used: {remote.reason}")
    if member.is_free and not remote.is_free:
        raise ModelUnavailableError(f"'{name}' is no longer trusted; send the request again")
    brings = request.image or request.mask or request.references or request.adapters
    if brings and not remote.connection.takes_pictures:
        raise ModelUnavailableError(f"'{name}' is no longer given pictures: see takes_pictures")
    refusal = remote.provider.refusal(request)
    if refusal is not None:
        raise ModelUnavailableError(f"'{name}' was changed meanwhile: {refusal.detail}")
    return remote.provider


def _worst(failed: dict[int, AppError], missing: list[int], name: str) -> AppError | None:
    """Return the error that decides over all that is missing: the least hopeful one."""
    if not missing:
        return None
    silent = ProviderAnswerError(f"'{name}' ended its answer early", may_have_billed=True)
    errors = [failed.get(index, silent) for index in missing]
    return max(errors, key=_weight)


def _weight(error: AppError) -> tuple[bool, bool]:
    if not isinstance(error, ProviderError):
        return (True, False)
    return (not error.moves_on, error.may_have_billed)
