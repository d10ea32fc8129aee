"""`greenroom usage`, and budgets with `greenroom keys`."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.store.store import Store
from tests.cli.running import greenroom
from tests.store.spending import keep, submit

DAYS = ("--from", "2026-03-01", "--to", "2026-03-31")


def spend(data_dir: Path, key: str, *costs: int | None) -> None:
    """Draw a picture for each cost, in March 2026."""

    async def work() -> None:
        store = await Store.open(f"sqlite:///{data_dir / 'greenroom.db'}", str(data_dir / "blobs"))
        job = await submit(store, key, 500_000, created_at=datetime.now(UTC))
        for index, cost in enumerate(costs):
            await keep(store, job, index, cost=cost)
        await store.close()

    asyncio.run(work())


def new_key(data_dir: Path, *words: str) -> str:
    made = greenroom("keys", "create", "spender", "--json", *words, data_dir=data_dir)
    assert made.code == 0, made.err
    key: str = json.loads(made.out)["id"]
    return key


def test_a_budget_is_given_changed_listed_and_taken_away(tmp_path: Path) -> None:
    key = new_key(tmp_path, "--budget", "5")
    assert "5.00 USD" in greenroom("keys", "list", data_dir=tmp_path).out
    raised = greenroom("keys", "budget", key, "7.50", data_dir=tmp_path)
    assert "may spend 7.50 USD a month now" in raised.err
    assert "7.50 USD" in greenroom("keys", "list", data_dir=tmp_path).out
    assert "has no budget now" in greenroom("keys", "budget", key, "none", data_dir=tmp_path).err
    assert "USD" not in greenroom("keys", "list", data_dir=tmp_path).out


@pytest.mark.parametrize("amount", ["five", "nan", "0.0000001"])
def test_what_is_no_amount_is_wrong_usage(tmp_path: Path, amount: str) -> None:
    done = greenroom("keys", "create", "x", "--budget", amount, data_dir=tmp_path)
    assert done.code == 2
    assert amount in done.err


def test_usage_is_shown_as_a_table_with_budgets_and_what_was_saved(tmp_path: Path) -> None:
    key = new_key(tmp_path, "--budget", "5", "--owner", "ana")
    spend(tmp_path, key, 200_000, 50_000)
    done = greenroom("usage", *DAYS, data_dir=tmp_path, compare_price_per_image="0.50")
    assert done.code == 0, done.err
    assert "spender" in done.out
    line = next(line for line in done.out.splitlines() if line.startswith("2026-03-29"))
    shown = re.split(r"\s{2,}", line)
    assert shown[1:] == ["spender", "ana", "scribble-xl", "2", "0.2 s", "0.25 USD", "0.75 USD"]
    assert "4.50 USD of 5.00 USD left" in done.err
    assert "Saved against 0.50 USD a picture (GREENROOM_COMPARE_PRICE_PER_IMAGE)" in done.err


def test_usage_is_printed_for_programs(tmp_path: Path) -> None:
    key = new_key(tmp_path, "--owner", "ana")
    spend(tmp_path, key, 200_000, None)
    said = json.loads(greenroom("usage", *DAYS, "--format", "json", data_dir=tmp_path).out)
    (line,) = said["items"]
    assert (line["pictures"], line["unpriced_pictures"]) == (2, 1)
    assert line["cost"] == {"micros": 200_000, "currency": "USD"}
    table = greenroom("usage", *DAYS, "--format", "csv", data_dir=tmp_path).out
    assert len(table.splitlines()) == 2
    assert greenroom("usage", *DAYS, "--format", "svg", data_dir=tmp_path).out.startswith("<svg")
    shown = greenroom("usage", *DAYS, "--key", key, data_dir=tmp_path)
    assert "0.20 USD + 1 not priced" in shown.out


def test_nothing_drawn_is_said_and_a_wrong_day_is_wrong_usage(tmp_path: Path) -> None:
    done = greenroom("usage", *DAYS, data_dir=tmp_path)
    assert (done.code, done.err) == (0, "Nothing was drawn from 2026-03-01 to 2026-03-31.\n")
    wrong = greenroom("usage", "--from", "March", data_dir=tmp_path)
    assert (wrong.code, "'March' is no day" in wrong.err) == (2, True)
    turned = greenroom("usage", "--from", "2026-03-02", "--to", "2026-03-01", data_dir=tmp_path)
    assert (turned.code, "is before" in turned.err) == (2, True)
