from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.budgets import renewal
from server.domain.events import Picture
from server.domain.images import ImageFormat
from server.domain.money import MICROS, Money, total
from server.domain.tariff import Certainty, Tariff, dearest
from tests.store.values import a_recipe


def picture(**changes: Any) -> Picture:
    values: dict[str, Any] = {
        "index": 0,
        "data": b"",
        "format": ImageFormat.PNG,
        "width": 64,
        "height": 64,
        "recipe": a_recipe(),
        "duration_seconds": 9.0,
        "device_seconds": 2.0,
    }
    return Picture(**(values | changes))


@pytest.mark.parametrize(
    ("written", "micros", "said"),
    [
        ("1.80", 1_800_000, "1.80 USD"),
        ("0", 0, "0.00 USD"),
        ("0.000035", 35, "0.000035 USD"),
        ("12345", 12_345_000_000, "12345.00 USD"),
        ("1e-3", 1000, "0.001 USD"),
    ],
)
def test_an_amount_is_read_and_written_as_people_do(written: str, micros: int, said: str) -> None:
    money = Money.parse(written, "USD")
    assert money == Money(micros=micros)
    assert str(money) == said


@pytest.mark.parametrize("written", ["", "a", "-1", "nan", "inf", "1e99", "0.0000001", "1,5"])
def test_what_is_no_amount_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"no amount|millionth"):
        Money.parse(written, "USD")


@given(st.integers(0, 2**53))
def test_an_amount_that_is_written_is_read_again(micros: int) -> None:
    money = Money(micros=micros, currency="EUR")
    assert Money.parse(money.decimal, "EUR") == money
    assert Decimal(money.decimal) * MICROS == micros


def test_a_sum_is_known_only_when_all_of_it_is() -> None:
    one, euro = Money(micros=1), Money(micros=1, currency="EUR")
    assert total([one, one]) == Money(micros=2)
    assert total([]) is None
    assert total([one, None]) is None
    assert total([one, euro]) is None
    with pytest.raises(ValueError, match="do not add up"):
        _ = one + euro


@given(st.integers(1, 10**12), st.floats(0, 10**6), st.floats(0, 10**6))
def test_seconds_cost_at_least_their_share_and_less_than_a_unit_more(
    hour: int, one: float, two: float
) -> None:
    price = Money(micros=hour)
    cost = price.for_seconds(one).micros
    exact = Decimal(one) * hour / 3600
    assert exact - Decimal("1e-6") <= cost < exact + 1 + Decimal("1e-6")
    assert (price.for_seconds(two).micros >= cost) or two < one


def test_a_local_quote_is_pictures_times_the_measured_seconds() -> None:
    tariff = Tariff(device_hour=Money.parse("1.80", "USD"))
    quote = tariff.quote_local(8.0, 4)
    assert (quote.certainty, quote.cost) == (Certainty.KNOWN, Money(micros=4000))
    assert "8 s of a device" in quote.basis
    assert "1.80 USD an hour" in quote.basis
    unmeasured = tariff.quote_local(None, 4)
    assert (unmeasured.certainty, unmeasured.cost) == (Certainty.AFTERWARDS, None)
    assert "not measured" in unmeasured.basis
    free = Tariff().quote_local(8.0, 4)
    assert (free.certainty, free.cost) == (Certainty.FREE, None)
    assert "GREENROOM_GPU_PRICE_PER_HOUR" in free.basis


def test_of_several_members_the_dearest_or_least_known_counts() -> None:
    tariff = Tariff(device_hour=Money(micros=3600))
    cheap, dear = tariff.quote_local(1.0, 1), tariff.quote_remote("a", Money(micros=50))
    later, unknown = tariff.quote_local(None, 1), tariff.quote_remote("b", None)
    assert dearest([cheap, dear]) is dear
    assert dearest([dear, later, cheap]) is later
    assert dearest([unknown, later, dear]) is unknown


def test_a_remote_quote_is_the_list_s_and_says_of_which_day() -> None:
    quote = Tariff().quote_remote("far-away", Money(micros=39_000), date(2026, 11, 1))
    assert (quote.certainty, quote.cost) == (Certainty.KNOWN, Money(micros=39_000))
    assert quote.basis == "the price list of 'far-away' of 2026-11-01"
    euro = Money(micros=39_000, currency="EUR")
    foreign = Tariff().quote_remote("far-away", euro)
    assert (foreign.certainty, foreign.cost) == (Certainty.UNKNOWN, euro)
    assert "not in USD" in foreign.basis


def test_a_picture_costs_what_the_service_said_or_its_seconds_here() -> None:
    tariff = Tariff(device_hour=Money(micros=3600))
    assert tariff.cost_of(picture()) == Money(micros=2)
    asked = Money(micros=7, currency="EUR")
    assert tariff.cost_of(picture(cost=asked, device_seconds=0.0)) == asked
    assert tariff.cost_of(picture(device_seconds=0.0)) is None
    assert Tariff().cost_of(picture()) is None


def test_credits_are_whole_ones_of_a_picture_times_the_count() -> None:
    tariff = Tariff(credit=Money(micros=100))
    assert tariff.credits(Money(micros=101)) == 2
    assert tariff.credits(Money(micros=404), 4) == 8
    assert tariff.credits(Money(micros=400), 4) == 4
    assert tariff.credits(Money(micros=0)) == 0
    assert tariff.credits(None) is None
    assert tariff.credits(Money(micros=1, currency="EUR")) is None
    assert Tariff().credits(Money(micros=1)) is None


@pytest.mark.parametrize(
    ("month", "next_month"), [("2026-03", "2026-04-01"), ("2026-12", "2027-01-01")]
)
def test_a_budget_renews_when_the_next_month_begins(month: str, next_month: str) -> None:
    assert renewal(month).isoformat() == f"{next_month}T00:00:00+00:00"
