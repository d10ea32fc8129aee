"""Which waiting pictures begin now: a model is swapped only when it is worth the wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.engine.drawing import Waiting

# How long pictures of models in memory may go before one whose model must be loaded first.
MODEL_PATIENCE_SECONDS = 10.0


def admissible(
    waiting: Sequence[Waiting],
    *,
    holds: Callable[[Waiting], bool],
    is_busy: bool,
    now: float,
) -> list[Waiting]:
    """Return the pictures to begin now, in the order in which they came.

    Pictures of a model in memory join at once. Loading another one stops everybody, and may put
    a model out that is being drawn with: it waits until nothing is under way. Once it has waited
    long enough, nobody new goes before it.

    Args:
        waiting: in the order in which they came.
        holds: whether the model of one is in memory.
        is_busy: whether pictures are under way.
        now: on the clock of `Waiting.arrived_at`.
    """
    at_once = [one for one in waiting if holds(one)]
    others = [one for one in waiting if not holds(one)]
    if not others:
        return at_once
    first = others[0]
    is_due = now - first.arrived_at >= MODEL_PATIENCE_SECONDS
    if is_busy:
        return [] if is_due else at_once
    if at_once and not is_due:
        return at_once
    return [one for one in others if one.message.model == first.message.model]
