"""The ledger and the budgets that it adds up to.

The functions here are parts of other repositories' transactions: what a job or a picture changes
and what it costs are written together or not at all. A budget changes only while its key's row
is held, so two processes never count on the same money.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import func, select, text, update

from server.domain.budgets import (
    PAID,
    PICTURES,
    WHOLE_JOB,
    BudgetState,
    Charge,
    Entry,
    EntryKind,
    Hold,
    Settlement,
    budget_state,
    month_of,
    settle,
)
from server.domain.errors import BudgetExceededError
from server.domain.jobs import Job
from server.domain.money import Money
from server.domain.routes import Outcome
from server.domain.tariff import Certainty, Quote
from server.store.database import Transaction
from server.store.schema import budgets, jobs, keys, ledger, tried

_UNIQUE = ["job_id", "kind", "index"]
# A job's `cost` when it ends: every picture's, of one currency, or NULL. As text, since an
# expression of so many parts takes SQLAlchemy longer to put together than it takes to run.
COST_OF_JOB = text(
    """(SELECT CASE WHEN min(kind) = 'charge' AND max(kind) = 'charge'
                     AND min(currency) = max(currency)
                    THEN '{"micros"\\:' || CAST(sum(micros) AS text)
                         || ',"currency"\\:"' || min(currency) || '"}' END
        FROM ledger WHERE job_id = jobs.id AND kind IN ('charge', 'assumed', 'unpriced'))"""
)


def reserve(transaction: Transaction, job: Job, quote: Quote) -> Hold | None:
    """Take what a new job would cost out of its key's budget. None: the key has none.

    Raises:
        BudgetExceededError: it has not enough left. Nothing of the transaction stays.
    """
    limit = _limit(transaction, job.key_id)
    if limit is None or quote.certainty is Certainty.FREE:
        return None
    month = month_of(job.created_at)
    state = _state(transaction, job.key_id, month, limit)
    amount = _needed(quote, state)
    hold = Hold(month=month, amount=Money(micros=amount, currency=limit.currency))
    _move(transaction, job.key_id, hold, reserved=amount, spent=0)
    transaction.execute(update(jobs).where(jobs.c.id == job.id).values(hold=hold))
    _add(transaction, _line(job, hold, job.created_at), EntryKind.RESERVE, amount)
    return hold


def charge(transaction: Transaction, due: Charge) -> None:
    """Write what a picture cost; a second time, after a picture was drawn anew, it is not paid."""
    entry = due.entry
    if due.hold is not None and _is_lost(transaction, entry):
        entry = entry.model_copy(update={"kind": EntryKind.UNPRICED, "micros": 0})  # paid already
    if not transaction.add(ledger, dict(entry), _UNIQUE) or due.hold is None:
        return
    done = (ledger.c.job_id == entry.job_id, ledger.c.kind == EntryKind.RELEASE)
    if transaction.execute(select(ledger.c.micros).where(*done)).first() is not None:
        # It was on its way when its job was cancelled: paid out of what the budget has now.
        _settle(transaction, entry.model_copy(update={"image_id": None}), due.hold, 0, entry.micros)


def close(transaction: Transaction, job: Job, at: datetime) -> None:
    """Settle the hold of a job that ends in this very transaction."""
    if job.hold is None:
        return
    _lose(transaction, job, job.hold, at)
    drawn = select(func.coalesce(func.sum(ledger.c.micros), 0)).where(
        ledger.c.job_id == job.id,
        ledger.c.kind.in_(PAID),
        ledger.c.currency == job.hold.amount.currency,
    )
    cost = int(transaction.execute(drawn).scalar_one())
    held = job.hold.amount.micros
    line = _line(job, job.hold, at)
    done = _settle(transaction, line, job.hold, held, cost)
    _add(transaction, line, EntryKind.RELEASE, done.released)


def _lose(transaction: Transaction, job: Job, hold: Hold, at: datetime) -> None:
    """Count what services may have billed for pictures of `job` that are not here.

    A call that is under way when its job ends is billed all the same; if a budget did not pay it,
    whoever cancels in time would draw for nothing, again and again, at the owner's cost.
    """
    billed: dict[int, str] = {}
    for row in transaction.execute(select(tried).where(tried.c.job_id == job.id)):
        if row.outcome != Outcome.BEGUN and not row.may_have_billed:
            continue
        if job.way.has(row.member) and not job.way.member(row.member).is_free:
            billed.update(dict.fromkeys(row.pictures, row.member))
    came = select(ledger.c.index).where(ledger.c.job_id == job.id, ledger.c.kind.in_(PICTURES))
    here = set(transaction.execute(came).scalars())
    share = hold.amount.micros // job.resolved.num_images
    for index, member in billed.items():
        if index not in here:
            line = _line(job, hold, at).model_copy(update={"index": index, "served_by": member})
            _add(transaction, line, EntryKind.LOST, share)


def _is_lost(transaction: Transaction, entry: Entry) -> bool:
    same = (ledger.c.job_id == entry.job_id, ledger.c.index == entry.index)
    lost = select(ledger.c.micros).where(*same, ledger.c.kind == EntryKind.LOST)
    return transaction.execute(lost).first() is not None


def _needed(quote: Quote, state: BudgetState) -> int:
    left = state.left.micros
    if quote.currency != state.limit.currency:
        raise BudgetExceededError(
            f"the key's budget is in {state.limit.currency}, and this server counts in "
            f"{quote.currency}; an administrator may set the budget anew"
        )
    if quote.certainty is Certainty.UNKNOWN:
        raise BudgetExceededError(
            f"the cost is {quote.basis}, and a key with a budget draws only what has a price in "
            f"{quote.currency}; choose another model, or use a key without a budget"
        )
    if quote.certainty is Certainty.KNOWN and quote.cost is not None:
        if quote.cost.micros <= left:
            return quote.cost.micros
        raise BudgetExceededError(_short(state, f"this would cost {quote.cost}"))
    if quote.cost is not None and quote.cost.micros > left:  # if another member draws it
        raise BudgetExceededError(_short(state, f"this may cost {quote.cost}"))
    if left > 0:
        return left  # all of it, until the first picture tells
    raise BudgetExceededError(_short(state, "this would cost something"))


def _short(state: BudgetState, needs: str) -> str:
    waiting = f" ({state.reserved} reserved for unfinished jobs)" if state.reserved.micros else ""
    return (
        f"the key's budget of {state.limit} for {state.month} has {state.left} left{waiting}, and "
        f"{needs}; it renews on {state.renews_at:%Y-%m-%d} at 00:00 UTC, or an administrator may "
        "raise it"
    )


def _limit(transaction: Transaction, key_id: str) -> Money | None:
    """Return a key's limit, and hold its row until the transaction ends."""
    statement = select(keys.c.budget).where(keys.c.id == key_id).with_for_update()
    limit: Money | None = transaction.execute(statement).scalar_one_or_none()
    return limit


def _state(transaction: Transaction, key_id: str, month: str, limit: Money) -> BudgetState:
    where = (budgets.c.key_id == key_id, budgets.c.month == month)
    found = transaction.execute(
        select(budgets.c.reserved, budgets.c.spent).where(
            *where, budgets.c.currency == limit.currency
        )
    ).first()
    reserved, spent = (0, 0) if found is None else (found.reserved, found.spent)
    return budget_state(key_id, month, limit, reserved=reserved, spent=spent)


def _settle(transaction: Transaction, line: Entry, hold: Hold, held: int, cost: int) -> Settlement:
    """Pay `cost` out of `held` and the budget's room, and write down what goes beyond."""
    limit = _limit(transaction, line.key_id)
    room = None
    if limit is not None and limit.currency == hold.amount.currency:
        room = _state(transaction, line.key_id, hold.month, limit).left.micros
    done = settle(held, cost, room)
    _move(transaction, line.key_id, hold, reserved=-held, spent=done.charged)
    for kind, micros in ((EntryKind.EXTRA, done.extra), (EntryKind.WAIVE, done.waived)):
        if micros:
            _add(transaction, line, kind, micros)
    return done


def _move(transaction: Transaction, key_id: str, hold: Hold, *, reserved: int, spent: int) -> None:
    place = {"key_id": key_id, "month": hold.month, "currency": hold.amount.currency}
    transaction.add(budgets, {**place, "reserved": 0, "spent": 0}, list(place))
    where = [budgets.c[name] == value for name, value in place.items()]
    changed = {"reserved": budgets.c.reserved + reserved, "spent": budgets.c.spent + spent}
    transaction.execute(update(budgets).where(*where).values(changed))


def _add(transaction: Transaction, line: Entry, kind: EntryKind, micros: int) -> None:
    values = dict(line) | {"kind": kind, "micros": micros, "device_seconds": 0.0}
    transaction.execute(ledger.insert(), values)


def _line(job: Job, hold: Hold, at: datetime) -> Entry:
    """Return what all lines about a whole job have in common."""
    return Entry(
        job_id=job.id,
        kind=EntryKind.RESERVE,
        index=WHOLE_JOB,
        key_id=job.key_id,
        owner=job.owner,
        image_id=None,
        model=job.resolved.model,
        served_by=None,
        micros=0,
        currency=hold.amount.currency,
        device_seconds=0.0,
        day=f"{at.astimezone(UTC):%Y-%m-%d}",
        at=at,
    )
