"""When a connection rests, for how long, and how it comes back."""

from __future__ import annotations

import pytest

from server.domain.errors import (
    NotFoundError,
    ProviderKeyError,
    ProviderRateLimitedError,
    ProviderRefusedError,
    ProviderUnreachableError,
)
from server.services.breaker import (
    FAILURES,
    FIRST_REST_SECONDS,
    LONGEST_REST_SECONDS,
    Breaker,
    BreakerState,
)
from tests.store.values import NOW

AWAY = ProviderUnreachableError("no answer")


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, lambda: NOW)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        assert breaker.lets_pass()
        breaker.begin()
        breaker.failed(AWAY)


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    breaker.succeeded()
    fail(breaker, FAILURES - 1)
    assert breaker.lets_pass()
    fail(breaker)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.lets_pass()
    assert breaker.rests_for == FIRST_REST_SECONDS
    assert breaker.last_error is AWAY


def test_after_its_rest_one_probe_passes_and_its_success_closes_it(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, FAILURES)
    clock.seconds += FIRST_REST_SECONDS
    assert breaker.lets_pass()
    breaker.begin()
    assert not breaker.lets_pass()
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert (breaker.failures, breaker.last_success_at) == (0, NOW)


def test_every_probe_that_fails_doubles_the_rest_up_to_a_limit(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, FAILURES)
    rests = [breaker.rests_for]
    for _ in range(8):
        clock.seconds += breaker.rests_for
        fail(breaker)
        rests.append(breaker.rests_for)
    assert rests[:3] == [FIRST_REST_SECONDS, 2 * FIRST_REST_SECONDS, 4 * FIRST_REST_SECONDS]
    assert rests[-1] == LONGEST_REST_SECONDS


def test_a_probe_that_was_cancelled_lets_the_next_one_pass(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    clock.seconds += FIRST_REST_SECONDS
    breaker.begin()
    breaker.gave_up()
    assert breaker.lets_pass()


def test_it_rests_for_as_long_as_the_service_asks(breaker: Breaker, clock: Clock) -> None:
    breaker.begin()
    breaker.failed(ProviderRateLimitedError("wait", retry_after_seconds=2000))
    assert breaker.rests_for == 2000
    clock.seconds += 1999
    assert not breaker.lets_pass()
    clock.seconds += 1
    assert breaker.lets_pass()


def test_a_key_that_is_no_good_opens_it_at_once(breaker: Breaker) -> None:
    breaker.begin()
    breaker.failed(ProviderKeyError("wrong"))
    assert breaker.state is BreakerState.OPEN


def test_declining_to_draw_is_an_answer_and_no_failure(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    breaker.begin()
    breaker.failed(ProviderRefusedError("we do not draw this"))
    assert (breaker.state, breaker.failures) == (BreakerState.CLOSED, 0)


def test_calls_that_were_under_way_when_it_opened_do_not_lengthen_the_rest(
    breaker: Breaker, clock: Clock
) -> None:
    for _ in range(FAILURES + 2):
        breaker.begin()
    for _ in range(FAILURES):
        breaker.failed(AWAY)
    clock.seconds += 5
    breaker.failed(AWAY)
    assert breaker.rests_for == FIRST_REST_SECONDS - 5


def test_what_is_not_the_services_fault_does_not_count(breaker: Breaker) -> None:
    for _ in range(FAILURES + 1):
        breaker.begin()
        breaker.failed(NotFoundError("the source picture was deleted"))
    assert (breaker.state, breaker.failures) == (BreakerState.CLOSED, 0)
