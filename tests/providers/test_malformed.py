"""However broken, cut or hostile an answer is: it is one of our own errors, or a picture."""

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.errors import ProviderError
from server.domain.events import Event, Failed, Picture, Preview, Started
from server.providers import gemini_answers, greenroom_answers, openai_answers
from server.providers.finishing import from_base64
from server.providers.http import Complaint
from tests.providers import services
from tests.providers.services import b64, picture, provider_at
from tests.providers.test_openai import stream

KINDS = {
    "gemini": "gemini-3-pro-image",
    "openai": "gpt-image-2",
}


def _names() -> st.SearchStrategy[str]:
    """Names that the services use, so that what is found goes deep."""
    known = (
        "candidates content parts inlineData data text thought finishReason promptFeedback "
        "blockReason error message details violations quotaId retryDelay code type b64_json url "
        "usage input_tokens output_tokens created models name supportedGenerationMethods id items "
        "state image recipe engine index detail step total_steps parameters sizes"
    )
    return st.sampled_from(known.split()) | st.text(max_size=8)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names(), inner, max_size=4),
    max_leaves=12,
)
bodies = st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode())


async def _events(provider: str, reply: services.Reply, **fields: Any) -> list[Event]:
    async with (
        services.service(reply) as fake,
        provider_at(provider, KINDS[provider], fake.url, seconds=5) as far,
    ):
        return await services.drawn(far, **fields)


@settings(max_examples=60, deadline=None)
@given(
    provider=st.sampled_from(sorted(KINDS)),
    body=bodies,
    status=st.sampled_from([200, 200, 200, 201, 204, 400, 401, 429, 500, 599]),
    kind=st.sampled_from(["application/json", "application/json", "text/event-stream", "x/y"]),
    partials=st.sampled_from([0, 1]),
)
def test_a_malformed_answer_fails_with_an_error_of_ours(
    provider: str, body: bytes, status: int, kind: str, partials: int
) -> None:
    options = {"partial_images": partials} if provider == "openai" else {}
    reply = services.saying(body, status=status, kind=kind)
    events = asyncio.run(_events(provider, reply, options=options))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, ProviderError)


@settings(max_examples=300, deadline=None)
@given(body=bodies, status=st.integers(100, 599))
def test_whatever_a_service_says_is_read_or_an_error_of_ours(body: bytes, status: int) -> None:
    text = body.decode(errors="replace")
    complaint = Complaint(status, body, None)
    assert isinstance(gemini_answers.understand(complaint), ProviderError)
    assert isinstance(openai_answers.understand(complaint, "Far"), ProviderError)
    assert isinstance(greenroom_answers.understand(complaint, "Far"), ProviderError)
    for read in (
        lambda: gemini_answers.picture_of(body),
        lambda: gemini_answers.model_page(body),
        lambda: openai_answers.images_of(body, "Far"),
        lambda: openai_answers.model_ids(body, "Far"),
        lambda: openai_answers.event_of(text, "Far"),
        lambda: greenroom_answers.model_info(body, "Far"),
        lambda: greenroom_answers.listed_models(body, "Far"),
        lambda: greenroom_answers.read(greenroom_answers.Job, body, "Far"),
        lambda: greenroom_answers.read(greenroom_answers.State, body, "Far"),
        lambda: greenroom_answers.read(greenroom_answers.Progress, body, "Far"),
        lambda: from_base64(text),
    ):
        try:
            read()
        except ProviderError as error:
            assert len(str(error)) < 700  # noqa: PT017


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_names(), values, max_size=5))
def test_whatever_a_recipe_from_elsewhere_says_is_taken_or_left(said: dict[str, object]) -> None:
    assert set(greenroom_answers.engine_of(said)) <= {"fingerprint", "scheduler", "engine"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=40))
def test_a_stream_reads_the_same_wherever_it_is_split(cuts: list[int]) -> None:
    reply = services.in_pieces(stream(), cuts)
    events = asyncio.run(_events("openai", reply, options={"partial_images": 2}))
    assert [type(event) for event in events] == [Started, Preview, Preview, Picture]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_a_stream_that_breaks_off_anywhere_is_a_failure_or_the_picture(cut: int) -> None:
    whole = stream(1)
    reply = services.in_pieces(whole[: cut % len(whole)])
    events = asyncio.run(_events("openai", reply, options={"partial_images": 1}))
    assert isinstance(events[-1], (Failed, Picture))


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=40), st.integers(0, 10**6))
def test_a_damaged_picture_is_a_picture_or_an_error_of_ours(damage: bytes, where: int) -> None:
    good = picture(48, 48)
    start = where % len(good)
    broken = good[:start] + damage + good[start + len(damage) :]
    body = {"created": 1, "data": [{"b64_json": b64(broken)}]}
    events = asyncio.run(_events("openai", services.saying(body)))
    assert isinstance(events[-1], (Picture, Failed))
    if isinstance(events[-1], Failed):
        assert isinstance(events[-1].error, ProviderError)


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=400))
def test_another_greenrooms_stream_may_hold_anything(body: bytes) -> None:
    async def all_events() -> list[Event]:
        job = services.saying({"id": "1" * 26, "state": "queued"})
        model = services.saying(MODEL)
        replies = (model, job, services.in_pieces(body), services.saying({}, status=404))
        async with (
            services.service(*replies) as fake,
            provider_at("greenroom", "painter", fake.url, seconds=5) as far,
        ):
            return await services.drawn(far)

    events = asyncio.run(all_events())
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, ProviderError)


MODEL: dict[str, Any] = {
    "id": "painter",
    "name": "Painter",
    "family": "sdxl",
    "task": "text",
    "provider": "local",
    "description": "",
    "specialties": [],
    "licence": "",
    "gated": False,
    "demonstration": False,
    "needs_vram_gib": None,
    "parameters": [],
    "sizes": [{"width": 64, "height": 64, "aspect_ratio": "1:1"}],
    "size_multiple": 8,
    "max_pixels": 65536,
    "styles": [],
    "state": "ready",
    "a_field_of_a_later_version": 1,
}
