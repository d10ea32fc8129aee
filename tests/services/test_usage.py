"""Reports of what was drawn: who sees what, what is saved, as values, table and plot."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from server.domain.errors import ForbiddenError, InvalidRequestError
from server.domain.keys import Caller, Scope
from server.domain.money import Money
from server.domain.tariff import Tariff
from server.services.usage import Usage
from server.services.usage_plot import as_svg
from server.services.usage_views import as_csv
from server.store.store import Store
from tests.store.spending import a_key, keep, micros, submit

NOW = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
DAY = date(2026, 3, 29)
ANA = Caller(key_id="x", owner="ana", scopes=frozenset({Scope.GENERATE}))
BOB = Caller(key_id="y", owner="bob", scopes=frozenset({Scope.GENERATE}))
ADMIN = Caller(key_id="admin", owner="admin", scopes=frozenset({Scope.ADMIN}))
SVG = "{http://www.w3.org/2000/svg}"


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(f"sqlite:///{tmp_path / 'greenroom.db'}", str(tmp_path / "blobs"))
    yield opened
    await opened.close()


def usage(store: Store, **prices: Money) -> Usage:
    return Usage(store, Tariff(**prices), lambda: NOW)


async def test_a_report_sums_each_day_key_and_model(store: Store) -> None:
    key, other = await a_key(store, 1000), await a_key(store, None)
    for cost, whose in ((70, key), (30, key), (5, other), (None, other)):
        await keep(store, await submit(store, whose, 100), 0, cost=cost)
    report = await usage(store).report(ANA)
    assert (report.start, report.end) == (DAY - timedelta(days=29), DAY)
    first, second = report.items
    assert (first.key_id, first.key_name, first.day) == (key, "a key", DAY)
    assert (first.pictures, first.cost, first.device_seconds) == (2, micros(100), 0.25)
    assert (second.key_id, second.pictures, second.cost) == (other, 2, micros(5))
    assert (second.local_pictures, second.unpriced_pictures) == (2, 1)
    (total,) = report.totals
    assert (total.pictures, total.unpriced_pictures, total.cost) == (4, 1, micros(105))
    assert (total.credits, total.saved, report.compared_with) == (None, None, None)
    (budget,) = report.budgets
    assert (budget.key_id, budget.reserved, budget.left) == (key, micros(200), micros(800))
    assert budget.renews_at == datetime(2026, 4, 1, tzinfo=UTC)


async def test_pictures_that_were_deleted_still_count(store: Store) -> None:
    image = await keep(store, await submit(store, await a_key(store, None), 1), 0, cost=70)
    await store.images.delete(image.id, "ana")
    (line,) = (await usage(store).report(ANA)).items
    assert (line.pictures, line.cost) == (1, micros(70))


async def test_an_owner_sees_its_own_and_an_administrator_everything(store: Store) -> None:
    key = await a_key(store, 1000)
    await keep(store, await submit(store, key, 100), 0, cost=70)
    nothing = await usage(store).report(BOB, key_id=key)
    assert (nothing.items, nothing.totals, nothing.budgets) == ((), (), ())
    with pytest.raises(ForbiddenError):
        await usage(store).report(BOB, owner="ana")
    for owner, key_id in ((None, None), ("ana", None), (None, key)):
        report = await usage(store).report(ADMIN, owner=owner, key_id=key_id)
        assert [line.key_id for line in report.items] == [key]
    assert (await usage(store).report(ADMIN, owner="bob")).items == ()


async def test_a_report_is_of_the_days_that_were_asked_for(store: Store) -> None:
    await keep(store, await submit(store, await a_key(store, None), 1), 0, cost=70)
    for start, end, found in (
        (DAY, DAY, 1),
        (DAY - timedelta(days=9), DAY - timedelta(days=1), 0),
        (DAY + timedelta(days=1), DAY + timedelta(days=2), 0),
    ):
        assert len((await usage(store).report(ANA, start=start, end=end)).items) == found
    with pytest.raises(InvalidRequestError, match="is before"):
        await usage(store).report(ANA, start=DAY + timedelta(days=1), end=DAY)
    with pytest.raises(InvalidRequestError, match="more than 366 days"):
        await usage(store).report(ANA, start=DAY - timedelta(days=366), end=DAY)


async def test_what_was_saved_is_what_local_pictures_would_have_cost_elsewhere(
    store: Store,
) -> None:
    job = await submit(store, await a_key(store, None), 1)
    for index, cost in enumerate((70, 30, None)):
        await keep(store, job, index, cost=cost)
    report = await usage(store, remote_picture=micros(1000)).report(ANA)
    assert report.compared_with is not None
    assert report.compared_with.basis == "GREENROOM_COMPARE_PRICE_PER_IMAGE"
    assert report.items[0].saved == micros(3 * 1000 - 100)

    async def cheapest() -> tuple[str, Money] | None:
        return "far-away", micros(10)

    compared = await Usage(store, Tariff(), lambda: NOW, cheapest).report(ANA)
    assert compared.totals[0].saved == micros(30 - 100)
    assert compared.compared_with is not None
    assert compared.compared_with.basis == "the lowest price of 'far-away'"


async def test_a_report_may_count_in_credits(store: Store) -> None:
    job = await submit(store, await a_key(store, None), 1)
    for index in range(2):
        await keep(store, job, index, cost=150)
    report = await usage(store, credit=micros(100)).report(ANA)
    assert report.items[0].credits == 4  # 1.5 a picture, rounded up, times two


async def test_the_table_for_spreadsheets_has_every_line_and_runs_no_formula(store: Store) -> None:
    job = await submit(store, await a_key(store, None), 1, owner="=cmd")
    await keep(store, job, 0, cost=1_230_000)
    report = await usage(store, remote_picture=micros(2_000_000)).report(ADMIN)
    (row,) = csv.DictReader(io.StringIO(as_csv(report)))
    assert row["owner"] == "'=cmd"
    assert (row["day"], row["pictures"], row["cost"]) == ("2026-03-29", "1", "1.23")
    assert (row["currency"], row["saved"], row["credits"]) == ("USD", "0.77", "")


async def test_the_plot_has_a_bar_for_each_day_and_model_of_each_kind(store: Store) -> None:
    key = await a_key(store, None)
    job = await submit(store, key, 1)
    await keep(store, job, 0, cost=60)
    await keep(store, job, 1, cost=Money(micros=20, currency="EUR"))
    root = ElementTree.fromstring(as_svg(await usage(store).report(ANA)))  # noqa: S314 - ours
    titles = [text.text for text in root.iter(f"{SVG}text")]
    assert {"Pictures", "Cost in EUR", "Cost in USD", "scribble-xl"} <= set(titles)
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.get("fill") == "#0072b2"]
    assert [bar.get("height") for bar in bars[1:]] == ["150.00", "150.00", "150.00"]
    empty = as_svg(await usage(store).report(BOB))
    assert "Cost" not in empty
    ElementTree.fromstring(empty)  # noqa: S314 - ours
