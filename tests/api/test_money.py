"""Costs before and after, budgets that refuse before any cost, and reports of it all."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx2
import openai
import pytest
from fastapi import FastAPI

from server.domain.ids import ID_LENGTH
from tests.api.conftest import SMALL, Running, draw, slow
from tests.api.test_operation import measured

UNIT = {"micros": 1, "currency": "USD"}
ROOMY = {"micros": 10_000_000, "currency": "USD"}
SMALL_JOB = {"prompt": "a fox", **SMALL}


@pytest.fixture(scope="module", autouse=True)
def _is_measured(admin: httpx2.Client) -> None:
    draw(admin)


def made(admin: httpx2.Client, budget: dict[str, Any] | None) -> tuple[str, str]:
    """Make a key with a budget and return its id and secret."""
    answer = admin.post("/api/v1/keys", json={"name": "spender", "budget": budget})
    assert answer.status_code == 201, answer.text
    key, secret = answer.json()["key"], answer.json()["secret"]
    assert key["budget"] == budget
    return key["id"], secret


def budget_of(client: httpx2.Client) -> dict[str, int]:
    (state,) = client.get("/api/v1/usage").json()["budgets"]
    return {name: state[name]["micros"] for name in ("limit", "reserved", "spent", "left")}


def test_an_estimate_says_what_it_costs_and_why(client: httpx2.Client) -> None:
    one = client.post("/api/v1/estimates", json=SMALL_JOB).json()
    assert one["cost"]["micros"] > 0
    assert one["cost"]["currency"] == "USD"
    assert "at 3.60 USD an hour" in one["cost_basis"]
    four = client.post("/api/v1/estimates", json={**SMALL_JOB, "num_images": 4}).json()
    assert four["cost"]["micros"] == 4 * one["cost"]["micros"]
    assert four["credits"] == 4 * one["credits"]


def test_what_pictures_cost_is_on_them_on_their_job_and_in_the_report(
    client: httpx2.Client,
) -> None:
    job = draw(client, num_images=2)
    costs = [image["cost"]["micros"] for image in job["images"]]
    assert min(costs) > 0
    assert job["cost"] == {"micros": sum(costs), "currency": "USD"}
    assert job["credits"] > 0
    again = client.get(f"/api/v1/jobs/{job['id']}").json()
    assert again["cost"] == job["cost"]
    (line,) = client.get("/api/v1/usage").json()["items"]
    assert (line["cost"], line["pictures"]) == (job["cost"], 2)
    assert line["saved"]["micros"] == 2 * 40_000 - sum(costs)
    client.delete(f"/api/v1/images/{job['images'][0]['id']}")
    assert client.get(f"/api/v1/jobs/{job['id']}").json()["cost"] == job["cost"]


def test_over_budget_is_refused_before_any_cost_until_the_budget_is_raised(
    server: Running, admin: httpx2.Client
) -> None:
    key_id, secret = made(admin, UNIT)
    client = server.client(secret)
    refused = client.post("/api/v1/jobs", json=SMALL_JOB)
    assert (refused.status_code, refused.json()["type"]) == (402, "/problems/budget-exceeded")
    said = refused.json()["detail"]
    assert "has 0.000001 USD left, and this would cost 0.0" in said
    assert "it renews on 20" in said
    assert client.get("/api/v1/jobs").json()["items"] == []
    raised = admin.put(f"/api/v1/keys/{key_id}/budget", json={"budget": ROOMY})
    assert raised.json()["budget"] == ROOMY
    cost = draw(client)["cost"]["micros"]
    assert budget_of(client) == {
        "limit": 10_000_000,
        "reserved": 0,
        "spent": cost,
        "left": 10_000_000 - cost,
    }
    freed = admin.put(f"/api/v1/keys/{key_id}/budget", json={"budget": None})
    assert freed.json()["budget"] is None
    assert client.get("/api/v1/usage").json()["budgets"] == []


def test_a_cancelled_job_gives_back_what_it_reserved(server: Running, admin: httpx2.Client) -> None:
    _, secret = made(admin, ROOMY)
    client = server.client(secret)
    job = client.post("/api/v1/jobs", json=slow()).json()
    assert budget_of(client)["reserved"] > 0
    client.delete(f"/api/v1/jobs/{job['id']}")
    assert budget_of(client) == {
        "limit": 10_000_000,
        "reserved": 0,
        "spent": 0,
        "left": 10_000_000,
    }


def test_openai_clients_hear_of_the_budget_in_their_own_words(
    server: Running, admin: httpx2.Client
) -> None:
    _, secret = made(admin, UNIT)
    client = openai.OpenAI(api_key=secret, base_url=f"{server.url}/v1", max_retries=0)
    with pytest.raises(openai.APIStatusError) as refused:
        client.images.generate(prompt="a fox", size="64x64")
    assert (refused.value.status_code, refused.value.code) == (402, "insufficient_quota")
    client.close()


@pytest.mark.parametrize(
    "budget",
    [
        {"micros": -1, "currency": "USD"},
        {"micros": 1, "currency": "EUR"},
        {"micros": 1, "currency": "dollars"},
        {"micros": 1.5, "currency": "USD"},
        5,
    ],
)
def test_a_wrong_budget_is_refused(admin: httpx2.Client, budget: object) -> None:
    body = {"name": "x", "budget": budget}
    assert admin.post("/api/v1/keys", json=body).status_code == 422
    there = made(admin, None)[0]
    assert admin.put(f"/api/v1/keys/{there}/budget", json={"budget": budget}).status_code == 422


def test_a_key_that_is_not_there_has_no_budget(admin: httpx2.Client) -> None:
    address = f"/api/v1/keys/{'0' * ID_LENGTH}/budget"
    assert admin.put(address, json={"budget": None}).status_code == 404


def test_a_report_comes_as_table_and_plot_by_format_or_accept(client: httpx2.Client) -> None:
    draw(client)
    for params, accept in (({"format": "csv"}, "*/*"), ({}, "text/csv;q=0.9")):
        table = client.get("/api/v1/usage", params=params, headers={"Accept": accept})
        assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
        (row,) = csv.DictReader(io.StringIO(table.text))
        assert (row["pictures"], row["key_name"], row["currency"]) == ("1", "test", "USD")
    for params, accept in (({"format": "svg"}, "*/*"), ({}, "image/svg+xml, */*")):
        plot = client.get("/api/v1/usage", params=params, headers={"Accept": accept})
        assert plot.headers["Content-Type"].startswith("image/svg+xml")
        assert plot.text.startswith("<svg")
        assert "Cost in USD" in plot.text
    assert client.get("/api/v1/usage", params={"format": "pdf"}).status_code == 422


def test_a_report_may_be_of_some_days_one_key_or_as_admin_one_owner(
    client: httpx2.Client, admin: httpx2.Client
) -> None:
    draw(client)
    (line,) = client.get("/api/v1/usage").json()["items"]
    by = {"key": line["key_id"]}
    assert client.get("/api/v1/usage", params=by).json()["items"] == [line]
    assert client.get("/api/v1/usage", params={"key": "0" * ID_LENGTH}).json()["items"] == []
    past = {"from": "2001-01-01", "to": "2001-01-31"}
    assert client.get("/api/v1/usage", params=past).json()["items"] == []
    assert client.get("/api/v1/usage", params={"from": "2001-01-01"}).status_code == 422
    assert client.get("/api/v1/usage", params={"owner": "admin"}).status_code == 403
    mine = {"owner": line["owner"]}
    assert admin.get("/api/v1/usage", params=mine).json()["items"] == [line]
    everyone = {one["owner"] for one in admin.get("/api/v1/usage").json()["items"]}
    assert {"admin", line["owner"]} <= everyone


def test_money_is_measured_by_model_and_worker_and_never_by_key(
    client: httpx2.Client, admin: httpx2.Client
) -> None:
    def micros() -> dict[tuple[str, ...], float]:
        return measured(admin)["greenroom_cost_micros_total"]

    before = micros()
    job = draw(client)
    place = ("USD", job["resolved"]["model"], job["images"][0]["served_by"])
    assert micros()[place] - before[place] == job["cost"]["micros"]


def test_no_report_is_open_to_strangers(app: FastAPI, nobody: httpx2.Client) -> None:
    assert nobody.get("/api/v1/usage").status_code == 401
