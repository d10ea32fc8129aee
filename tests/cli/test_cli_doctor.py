"""`greenroom doctor` says what works here, and fails where something does not."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from server.engine.attention.choice import USUAL, Measured
from server.store.store import Store
from tests.cli.running import greenroom
from tests.registry.yaml_files import HEAD, ONE, entry


def report(**settings: Any) -> tuple[int, dict[str, Any]]:
    done = greenroom("doctor", "--json", **settings)
    return done.code, json.loads(done.out)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    big = entry("big", needs_vram_gib="100000")
    (tmp_path / "models.yaml").write_text(HEAD + ONE + big + entry("untold"))
    return {"models": tmp_path / "models.yaml", "data_dir": tmp_path / "data"}


def said(told: dict[str, Any], name: str) -> list[tuple[str, str]]:
    return [(c["state"], c["said"]) for c in told["checks"] if c["name"] == name]


def test_a_sound_machine_passes_and_nothing_is_made(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    code, told = report(**settings)
    assert code == 0
    assert said(told, "torch")[0][0] == "ok"
    assert said(told, "device")[0][1].startswith("cpu: CPU, ")
    assert said(told, "database")[0][1].endswith("made at the first start")
    assert not (tmp_path / "data").exists()


def test_every_model_gets_a_plan_with_its_reason(settings: dict[str, Any]) -> None:
    told = report(**settings)[1]["models"]
    plans = {plan["id"]: (plan["fits"], plan["plan"], plan["why"]) for plan in told}
    assert plans["big"][:2] == (False, "none")
    assert "GiB even as 'exact', cpu has" in plans["big"][2]
    assert plans["untold"][0] is not None  # as its family's usual checkpoints
    assert plans["untold"][2].startswith("needs ")


def test_plans_are_told_for_cards_that_are_not_here() -> None:
    sizes = (8, 12, 16, 24, 48, 80, 141)
    done = greenroom("doctor", "--as", ",".join(map(str, sizes)), "--json")
    found = json.loads(done.out)
    of = {(one["id"], one["card_gib"]): one for one in found}
    assert {size for _, size in of} == set(sizes)
    assert of["sdxl-base", 8]["exact"].startswith("exact, encoders evicted (")
    assert of["sdxl-base", 12]["exact"].startswith("exact (")
    assert of["flux-dev", 24]["exact"].startswith("exact, encoders streamed, network streamed (")
    assert of["flux-dev", 24]["memory"].startswith("memory, int8, encoders evicted (")
    assert of["flux-dev", 12]["memory"].startswith("memory, nf4, encoders streamed (")
    assert of["flux-dev", 48]["exact"].startswith("exact (")
    assert of["flux-dev", 48]["fast"].startswith("fast, fp8, block cache (")


def test_the_table_of_cards_groups_models_of_one_plan() -> None:
    done = greenroom("doctor", "--as", "12,24")
    assert "flux-dev, flux-schnell" in done.out
    assert "12 24" in done.out  # cards of one plan share a line


def test_a_card_of_no_size_is_refused() -> None:
    done = greenroom("doctor", "--as", "big")
    assert done.code == 2
    assert "--as takes sizes in GiB, such as 24 or 8,12,16; not 'big'" in done.err


def test_what_is_wrong_is_told_and_fails(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(HEAD + ONE + entry("bad", colour="red"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "greenroom.db").write_bytes(b"no database at all" * 100)
    code, told = report(**settings, devices="cuda:7")
    assert code == 1
    assert [state for state, _ in said(told, "device")] == ["bad"]
    assert said(told, "database")[0][0] == "bad"
    assert any("unknown key 'colour'" in text for _, text in said(told, "models"))


def test_a_sound_database_is_read_without_being_changed(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "greenroom.db"
    connection = sqlite3.connect(file)
    connection.execute("create table t (x)")
    connection.close()
    before = file.read_bytes()
    assert said(report(**settings)[1], "database")[0][1].endswith("sound")
    assert file.read_bytes() == before


def test_a_database_that_does_not_answer_is_told_without_its_password(
    settings: dict[str, Any],
) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql://ann:secret-word@127.0.0.1:1/none"
    done = greenroom("doctor", **settings, database_url=url)
    assert done.code == 1
    assert "does not answer" in done.out
    assert "secret-word" not in done.out + done.err


def kept_attention(database: Path) -> None:
    """Keep what a worker measured, as `serve` does."""

    async def keep() -> None:
        store = await Store.open(f"sqlite:///{database}")
        found = Measured("Net in bfloat16", ("cudnn", USUAL), {USUAL: 0.02, "cudnn": 0.01}, 0.1)
        for point in found.points("A Card, torch 2"):
            await store.row_times.save(point)
        await store.close()

    asyncio.run(keep())


def test_it_says_which_attention_is_used_and_why(settings: dict[str, Any], tmp_path: Path) -> None:
    lines = said(report(**settings)[1], "attention")
    assert lines[0][1].startswith("torch's own kernels; xformers: ")
    assert lines[1:] == [
        ("ok", "not measured yet; the first picture of each model and size does it")
    ]
    (tmp_path / "data").mkdir()
    kept_attention(tmp_path / "data" / "greenroom.db")
    told = "cudnn for Net in bfloat16: cudnn 10 ms, torch 20 ms, of a forward of 100 ms"
    assert said(report(**settings)[1], "attention")[1:] == [("ok", f"{told} (A Card, torch 2)")]
