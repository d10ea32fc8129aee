"""The same misfortunes on the line for every provider, while it draws."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from server.domain.errors import (
    ProviderAnswerError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderUnreachableError,
)
from server.domain.events import Started
from server.providers.remote import RemoteProvider
from tests.providers import services
from tests.providers.services import drawn, failures, pictures, saying
from tests.providers.test_malformed import KINDS, MODEL

PROVIDERS = [*KINDS, "compatible"]


def provider(
    kind: str, url: str, seconds: float | None = None
) -> AbstractAsyncContextManager[RemoteProvider]:
    service = "openai" if kind == "compatible" else kind
    model = KINDS.get(kind, "some-model")
    return services.provider_at(service, model, url, seconds=seconds)


async def failed(
    kind: str, reply: services.Reply, *, seconds: float | None = None
) -> tuple[ProviderError, int]:
    """Return the error, and how often the service was asked."""
    async with services.service(reply) as fake, provider(kind, fake.url, seconds) as far:
        events = await drawn(far)
        assert isinstance(events[0], Started)
        assert pictures(events) == []
        [failure] = failures(events)
        assert isinstance(failure.error, ProviderError)
        return failure.error, len(fake.asked)


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize("reply", [services.hanging_up, services.cut_after(b'{"da', 999)])
async def test_a_cut_line_may_have_been_billed_and_is_not_tried_again(
    kind: str, reply: services.Reply
) -> None:
    error, asked = await failed(kind, reply)
    assert isinstance(error, ProviderUnreachableError)
    assert (error.may_have_billed, error.moves_on, asked) == (True, True, 1)


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_no_answer_in_time_may_have_been_billed_and_is_not_tried_again(kind: str) -> None:
    error, asked = await failed(kind, services.silent, seconds=0.3)
    assert isinstance(error, ProviderUnreachableError)
    assert (error.may_have_billed, asked) == (True, 1)


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_a_page_instead_of_an_answer_is_one_that_makes_no_sense(kind: str) -> None:
    error, asked = await failed(kind, saying(b"<html>hello</html>", kind="text/html"))
    assert isinstance(error, ProviderAnswerError)
    assert (error.may_have_billed, asked) == (True, 1)


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_a_body_without_end_is_left(kind: str) -> None:
    async def endless(_: services.Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b"x" * 2**20)
            await writer.drain()

    error, asked = await failed(kind, endless)
    assert isinstance(error, ProviderAnswerError)
    assert asked == 1


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_a_picture_far_too_large_is_refused_before_it_is_decoded(kind: str) -> None:
    bomb = services.b64(services.picture(8000, 8000))
    body = {
        "data": [{"b64_json": bomb}],
        "candidates": [{"content": {"parts": [{"inlineData": {"data": bomb}}]}}],
    }
    error, _ = await failed(kind, saying(body))
    assert isinstance(error, ProviderAnswerError)
    assert "8000 x 8000" in error.detail


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_a_rate_limit_beyond_its_time_is_told_with_the_wait(kind: str) -> None:
    error, asked = await failed(kind, saying({}, status=429, headers={"Retry-After": "4000"}))
    assert isinstance(error, ProviderRateLimitedError)
    assert (error.retry_after_seconds, error.may_have_billed, asked) == (4000, False, 1)


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_a_service_that_is_not_there_has_not_billed(kind: str) -> None:
    async with provider(kind, "http://127.0.0.1:1") as far:
        [failure] = failures(await drawn(far))
    assert isinstance(failure.error, ProviderUnreachableError)
    assert not failure.error.may_have_billed


async def test_a_job_whose_answer_is_lost_is_asked_for_again_under_the_same_key() -> None:
    replies = (saying(MODEL), services.hanging_up)
    async with (
        services.service(*replies) as fake,
        services.provider_at("greenroom", "painter", fake.url) as far,
    ):
        [failure] = failures(await drawn(far))
        jobs = [asked for asked in fake.asked if asked.target == "/api/v1/jobs"]
    assert len(jobs) == 4
    assert len({asked.headers["idempotency-key"] for asked in jobs}) == 1
    assert len({asked.body for asked in jobs}) == 1
    assert isinstance(failure.error, ProviderUnreachableError)
    assert failure.error.may_have_billed


async def test_a_job_that_takes_longer_than_its_time_is_cancelled_there() -> None:
    replies = (
        saying(MODEL),
        saying({"id": "1" * 26, "state": "queued"}),
        services.silent,
        saying({}),
    )
    async with (
        services.service(*replies) as fake,
        services.provider_at("greenroom", "painter", fake.url, seconds=0.5) as far,
    ):
        [failure] = failures(await drawn(far))
        last = fake.asked[-1]
    assert isinstance(failure.error, ProviderUnreachableError)
    assert (last.method, last.target) == ("DELETE", f"/api/v1/jobs/{'1' * 26}")


async def test_a_job_that_ends_well_without_its_pictures_is_a_failure() -> None:
    ended = {"id": 9, "type": "succeeded", "image": None, "error": None}
    strange = {"id": "2" * 26, "index": 7, "recipe": {}}
    states = [{**ended, "id": 8, "type": "picture", "image": strange}, ended]
    stream = "".join(f"event: state\nid: {s['id']}\ndata: {json.dumps(s)}\n\n" for s in states)
    replies = (
        saying(MODEL),
        saying({"id": "1" * 26, "state": "queued"}),
        services.in_pieces(stream.encode()),
    )
    async with (
        services.service(*replies) as fake,
        services.provider_at("greenroom", "painter", fake.url) as far,
    ):
        events = await drawn(far, num_images=2)
        assert [asked.method for asked in fake.asked] == ["GET", "POST", "GET"]
    assert [failure.index for failure in failures(events)] == [0, 1]
    assert "0 of 2 pictures came" in str(failures(events)[0].error)


async def test_a_stream_that_only_breaks_off_is_taken_up_again_where_it_was() -> None:
    waiting = {"id": 5, "type": "queued", "image": None, "error": None}
    failed_there = {
        **waiting,
        "id": 6,
        "type": "failed",
        "error": {"code": "out-of-memory", "title": "", "detail": "the card is full"},
    }

    def state(said: dict[str, Any]) -> services.Reply:
        return services.in_pieces(
            f"event: state\nid: {said['id']}\ndata: {json.dumps(said)}\n\n".encode()
        )

    replies = (
        saying(MODEL),
        saying({"id": "1" * 26, "state": "queued"}),
        state(waiting),
        services.hanging_up,
        state(failed_there),
    )
    async with (
        services.service(*replies) as fake,
        services.provider_at("greenroom", "painter", fake.url) as far,
    ):
        [failure] = failures(await drawn(far))
        again = [asked for asked in fake.asked if asked.target.endswith("/events")]
    assert [asked.headers.get("last-event-id") for asked in again] == [None, "5", "5"]
    assert isinstance(failure.error, ProviderUnreachableError)
    assert "the card is full" in failure.error.detail
