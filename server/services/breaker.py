"""A circuit breaker: a connection that fails rests, and comes back by one probe."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

from server.domain.errors import (
    AppError,
    ProviderError,
    ProviderKeyError,
    ProviderModelGoneError,
    ProviderQuotaError,
    ProviderRefusedError,
    ProviderRequestError,
)

FAILURES = 3  # one after the other, until a connection rests
FIRST_REST_SECONDS = 10.0
LONGEST_REST_SECONDS = 600.0
_LONGEST_ASKED_SECONDS = 86_400.0
_ANSWERS = (ProviderRefusedError, ProviderRequestError)  # it answers, if not as was hoped
_LASTING = (ProviderKeyError, ProviderQuotaError, ProviderModelGoneError)  # nobody mends these fast


class BreakerState(StrEnum):
    """closed: calls pass. open: none does. half-open: one, as a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Counts what became of calls to one connection.

    It opens after FAILURES failures in a row, and at once when the service says when to come back
    or that the key, the account or the model is no good. The rest doubles with every probe that
    fails.
    """

    def __init__(self, clock: Callable[[], float], now: Callable[[], datetime]) -> None:
        self.failures = 0  # in a row
        self.last_error: ProviderError | None = None
        self.last_error_at: datetime | None = None
        self.last_success_at: datetime | None = None
        self._clock = clock  # for spans, since the time of day may jump
        self._now = now
        self._passes_at: float | None = None  # when it is half-open; None: it is closed
        self._rest_seconds = FIRST_REST_SECONDS
        self._is_probing = False

    @property
    def state(self) -> BreakerState:
        """What a call would meet."""
        if self._passes_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.rests_for > 0 else BreakerState.HALF_OPEN

    @property
    def rests_for(self) -> float:
        """Seconds until a call may pass, 0 when one may now."""
        return 0.0 if self._passes_at is None else max(0.0, self._passes_at - self._clock())

    def lets_pass(self) -> bool:
        """Return whether a call may begin."""
        state = self.state
        return state is BreakerState.CLOSED or (
            state is BreakerState.HALF_OPEN and not self._is_probing
        )

    def begin(self) -> None:
        """Note that a call begins; half-open, it is the probe."""
        self._is_probing = self.state is BreakerState.HALF_OPEN

    def gave_up(self) -> None:
        """Note that a call was cancelled: that tells nothing."""
        self._is_probing = False

    def succeeded(self) -> None:
        """Note that the service answered as it should."""
        self._is_probing = False
        self.failures, self._rest_seconds, self._passes_at = 0, FIRST_REST_SECONDS, None
        self.last_success_at = self._now()

    def failed(self, error: AppError) -> None:
        """Note that a call failed, and open where that says so."""
        if not isinstance(error, ProviderError):  # it never came to be: the service has no part
            self.gave_up()
            return
        if isinstance(error, _ANSWERS):
            self.succeeded()
            return
        was_probe, self._is_probing = self._is_probing, False
        self.failures += 1
        self.last_error, self.last_error_at = error, self._now()
        asked = error.retry_after_seconds
        if asked is not None:
            self._passes_at = self._clock() + min(asked, _LONGEST_ASKED_SECONDS)
        elif was_probe or isinstance(error, _LASTING) or self._is_enough():
            self._passes_at = self._clock() + self._rest_seconds
            self._rest_seconds = min(2 * self._rest_seconds, LONGEST_REST_SECONDS)

    def _is_enough(self) -> bool:
        # Calls that were under way when it opened tell nothing new.
        return self.failures >= FAILURES and self._passes_at is None
