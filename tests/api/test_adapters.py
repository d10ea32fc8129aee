"""Adapters over HTTP: brought by administrators, drawn with by everyone, refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.api.conftest import Running, draw, slow
from tests.api.pictures import opened
from tests.engine.adapters import made

SHA256 = 64


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from server.engine import tiny

    adapter = made.adapter({"unet": tiny.make_sdxl().unet}, 1, wanted=made.attention, size=0.3)
    return made.written(made.peft(adapter), tmp_path_factory.mktemp("adapters"))


def add(
    client: httpx2.Client, data: bytes, name: str = "Ink v1.safetensors", **fields: str
) -> httpx2.Response:
    return client.post("/api/v1/adapters", files={"file": (name, data)}, data=fields)


@pytest.fixture
def ink(admin: httpx2.Client, file: Path) -> Iterator[str]:
    added = add(admin, file.read_bytes())
    assert added.status_code == 201, added.text
    yield added.json()["id"]
    admin.delete("/api/v1/adapters/ink-v1")


def test_an_adapter_is_kept_listed_and_removed(
    server: Running, admin: httpx2.Client, client: httpx2.Client, file: Path
) -> None:
    added = add(admin, file.read_bytes())
    adapter = added.json()
    assert added.headers["Location"] == "/api/v1/adapters/ink-v1"
    assert (adapter["id"], adapter["family"], adapter["rank"]) == ("ink-v1", "sdxl", 4)
    assert (adapter["file_name"], adapter["size_bytes"]) == (
        "Ink v1.safetensors",
        file.stat().st_size,
    )
    assert len(adapter["sha256"]) == SHA256
    assert client.get("/api/v1/adapters").json() == {"items": [adapter], "next_cursor": None}
    assert client.get("/api/v1/adapters/ink-v1").json() == adapter
    kept = [path.name for path in (server.models_dir / "adapters").iterdir()]
    assert kept == [f"{adapter['sha256']}.safetensors"]

    assert admin.delete("/api/v1/adapters/ink-v1").status_code == 204
    assert list((server.models_dir / "adapters").iterdir()) == []
    gone = client.get("/api/v1/adapters/ink-v1")
    assert (gone.status_code, gone.json()["detail"]) == (
        404,
        "no adapter 'ink-v1'; there are none",
    )


def test_it_changes_pictures_at_once_and_the_recipe_names_it(
    client: httpx2.Client, ink: str
) -> None:
    asked = {"seed": 7, "guidance_scale": 3.0}
    plain = draw(client, **asked)["images"][0]
    listed = draw(client, **asked, adapters=[{"id": ink, "weight": 0.8}])["images"][0]
    tagged = draw(client, **asked, prompt=f"a fox <lora:{ink}:0.8>")["images"][0]
    assert plain["sha256"] != listed["sha256"]
    assert plain["recipe"]["adapters"] == []
    [drawn] = listed["recipe"]["adapters"]
    assert (drawn["id"], drawn["weight"]) == (ink, 0.8)
    assert tagged["recipe"]["adapters"] == [drawn]
    assert tagged["recipe"]["prompt"] == "a fox"
    first, second = (opened(client.get(one["url"]).content) for one in (listed, tagged))
    assert first.tobytes() == second.tobytes()


def test_flux_draws_with_its_own(
    admin: httpx2.Client, client: httpx2.Client, tmp_path: Path
) -> None:
    from server.engine import tiny

    networks = {"transformer": tiny.make_flux().transformer}
    adapter = made.adapter(networks, 1, wanted=made.attention, size=0.3)
    data = made.written(made.peft(adapter), tmp_path).read_bytes()
    added = add(admin, data, "neon.safetensors")
    assert (added.status_code, added.json()["family"]) == (201, "flux")
    try:
        asked = {"model": "scribble-flux", "seed": 7}
        plain = draw(client, **asked)["images"][0]
        neon = draw(client, **asked, prompt="a fox <lora:neon>")["images"][0]
    finally:
        admin.delete("/api/v1/adapters/neon")
    first, second = (opened(client.get(one["url"]).content) for one in (plain, neon))
    assert first.tobytes() != second.tobytes()


@pytest.mark.parametrize(
    ("request_", "detail"),
    [
        ({"prompt": "a fox <lora:inc>"}, "no adapter 'inc'; for model 'scribble-xl' there are"),
        ({"adapters": [{"id": "inc"}]}, "no adapter 'inc'"),
        ({"adapters": [{"id": "ink-v1"}, {"id": "ink-v1"}]}, "is named twice"),
        ({"adapters": [{"id": "ink-v1"}], "model": "scribble-flux"}, "is for sdxl models"),
        ({"adapters": [{"id": "ink-v1", "weight": 5}]}, "adapters.0.weight"),
    ],
)
@pytest.mark.usefixtures("ink")
def test_what_cannot_be_drawn_with_is_refused_before_any_cost(
    client: httpx2.Client, request_: dict[str, object], detail: str
) -> None:
    refused = client.post("/api/v1/jobs", json={"prompt": "a fox", **request_})
    assert refused.status_code == 422
    assert detail in refused.json()["detail"]
    assert client.get("/api/v1/jobs").json()["items"] == []


def test_what_is_no_adapter_is_not_kept(
    server: Running, admin: httpx2.Client, tmp_path: Path
) -> None:
    other = made.written(made.renamed(made.query(), ("mid_block", "joint_blocks")), tmp_path)
    for data, name, detail in (
        (other.read_bytes(), "x.safetensors", "'x.safetensors': this adapter is for Stable Diff"),
        (b"words", "x.safetensors", "no sound safetensors file"),
        (b"words", "x.ckpt", "'.ckpt' files are not read"),
    ):
        refused = add(admin, data, name)
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/adapter-invalid")
        assert detail in refused.json()["detail"]
    assert add(admin, b"x", "x.safetensors", id="No Name").json()["parameter"] == "id"
    assert add(admin, b"x", "?").json()["parameter"] == "id"
    assert add(admin, b"x", "x.safetensors", words="x").json()["parameter"] == "words"
    assert admin.post("/api/v1/adapters", json={"file": "x"}).status_code == 422
    assert admin.get("/api/v1/adapters").json()["items"] == []
    assert not list((server.models_dir / "adapters").glob("*"))
    assert not list((server.models_dir / "adapters").glob(".*"))


def test_a_file_that_is_too_large_is_stopped_on_its_way(admin: httpx2.Client) -> None:
    refused = add(admin, bytes(2**20 + 1), "large.safetensors")
    assert (refused.status_code, refused.json()["type"]) == (413, "/problems/too-large")


def test_a_name_and_a_file_are_kept_once(admin: httpx2.Client, ink: str, file: Path) -> None:
    for again in (
        add(admin, b"whatever", id=ink),
        add(admin, file.read_bytes(), "another.safetensors"),
    ):
        assert (again.status_code, again.json()["type"]) == (409, "/problems/conflict")
        assert f"adapter '{ink}' already" in again.json()["detail"]
    assert admin.get(f"/api/v1/adapters/{ink}").status_code == 200


def test_what_an_unfinished_job_draws_with_stays(
    server: Running, admin: httpx2.Client, ink: str, file: Path
) -> None:
    client = server.new_client()
    job = client.post("/api/v1/jobs", json=slow(adapters=[{"id": ink}])).json()
    refused = admin.delete(f"/api/v1/adapters/{ink}")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/conflict")
    assert job["id"] in refused.json()["detail"]
    client.delete(f"/api/v1/jobs/{job['id']}")
    assert admin.delete(f"/api/v1/adapters/{ink}").status_code == 204


def test_one_that_does_not_fit_the_model_fails_its_job_alone(
    admin: httpx2.Client, client: httpx2.Client, tmp_path: Path
) -> None:
    wide = made.written(made.query(inputs=640, outputs=640), tmp_path)
    assert add(admin, wide.read_bytes(), "wide.safetensors").status_code == 201
    try:
        failed = draw(client, adapters=[{"id": "wide"}])
        assert failed["state"] == "failed"
        assert failed["error"]["code"] == "adapter-invalid"
        assert "adapter 'wide': " in failed["error"]["detail"]
        assert draw(client)["state"] == "succeeded"
    finally:
        admin.delete("/api/v1/adapters/wide")
