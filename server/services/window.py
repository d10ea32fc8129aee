"""How much work a worker may hold: enough to share forwards, little enough to stay fair."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.services.fairness import Unit

# Of one size: always one unit to draw and one to prepare, more only while they are small. What was
# handed over can no longer give way to another owner.
_ALIKE_AT_LEAST = 2
_ALIKE_AT_MOST = 8
_ALIKE_FLOPS = 4e14  # about one SDXL picture of 1024 x 1024 with 30 steps and guidance
_ALIKE = 4.0  # units whose work differs by no more than this factor are of one size
_IN_ALL = 24


def has_room(held: Sequence[Unit], due: Unit, is_suspect: Callable[[Unit], bool]) -> bool:
    """Return whether a worker that holds `held` may be given `due`, too.

    Only units of about its size count against a unit: a short picture joins a full worker, since
    the worker draws the shortest work first, and a long one is not kept out by a stream of short
    ones. A unit that may have ended a worker is drawn alone, so that the blame is never shared.

    Args:
        held: what the worker has not finished.
        due: what waits.
        is_suspect: whether a worker ended while it drew this unit's job.
    """
    if not held:
        return True
    if is_suspect(due) or any(is_suspect(unit) for unit in held):
        return False
    alike = [u.flops for u in held if due.flops / _ALIKE <= u.flops <= due.flops * _ALIKE]
    if len(held) >= _IN_ALL:
        return False
    if len(alike) < _ALIKE_AT_LEAST:
        return True
    return len(alike) < _ALIKE_AT_MOST and sum(alike) < _ALIKE_FLOPS
