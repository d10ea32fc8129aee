from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
from safetensors.numpy import save

from tests.api.conftest import Running, until
from tests.conftest import REPOSITORY

BYTES = {"Content-Type": "application/octet-stream"}


def checkpoint() -> bytes:
    """Return a file with the key names of an SDXL checkpoint and next to nothing in it."""
    value = np.zeros((2, 2), np.float32)
    return save({"conditioner.embedders.1.x": value, "model.diffusion_model.x": value})


def test_models_are_listed_with_all_they_declare(client: httpx2.Client) -> None:
    models = client.get("/api/v1/models").json()["items"]
    assert len(models) >= 16
    by_id = {model["id"]: model for model in models}
    scribble = by_id["scribble-xl"]
    assert (scribble["state"], scribble["is_default"], scribble["pull"]) == ("ready", True, None)
    assert {"num_inference_steps", "guidance_scale"} <= {p["name"] for p in scribble["parameters"]}
    assert by_id["sdxl-base"]["state"] in ("unpinned", "missing")
    assert by_id["sdxl-base"]["reason"]


def test_a_model_is_found_by_id_and_by_alias(client: httpx2.Client) -> None:
    assert client.get("/api/v1/models/scribble-xl").json()["id"] == "scribble-xl"
    assert client.get("/api/v1/models/sdxl").json()["id"] == "sdxl-base"
    missing = client.get("/api/v1/models/scribble-xxl")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/model-not-found")
    assert "scribble-xl" in missing.json()["detail"]


def test_a_model_that_is_not_here_is_409_with_the_remedy(client: httpx2.Client) -> None:
    refused = client.post("/api/v1/jobs", json={"prompt": "a fox", "model": "sdxl-base"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/model-unavailable")
    assert "greenroom models" in refused.json()["detail"]


def test_a_file_is_brought_registered_and_removed_from_the_list(admin: httpx2.Client) -> None:
    name = f"mine-{uuid.uuid4().hex[:6]}.safetensors"
    data = checkpoint()
    brought = admin.put(f"/api/v1/models/files/{name}", content=data, headers=BYTES)
    assert (brought.status_code, brought.json()) == (201, {"file": name, "size_bytes": len(data)})
    again = admin.put(f"/api/v1/models/files/{name}", content=data, headers=BYTES)
    assert again.status_code == 409

    made = admin.post("/api/v1/models", json={"file": name, "name": "Mine"})
    assert made.status_code == 201, made.text
    model = made.json()
    assert made.headers["Location"] == f"/api/v1/models/{model['id']}"
    assert (model["name"], model["family"]) == ("Mine", "sdxl")
    assert admin.post("/api/v1/models", json={"file": name}).status_code == 409

    assert admin.delete(f"/api/v1/models/{model['id']}").status_code == 204
    assert admin.get(f"/api/v1/models/{model['id']}").status_code == 404
    assert admin.put(f"/api/v1/models/files/{name}", content=data, headers=BYTES).status_code == 409


def test_a_repo_of_the_hub_must_be_pinned_first(admin: httpx2.Client) -> None:
    made = admin.post(
        "/api/v1/models", json={"hub": "someone/something", "family": "sdxl", "id": "of-the-hub"}
    )
    assert (made.status_code, made.json()["state"]) == (201, "unpinned")
    pulled = admin.post("/api/v1/models/of-the-hub/pull")
    assert (pulled.status_code, pulled.json()["type"]) == (409, "/problems/model-unavailable")
    assert admin.delete("/api/v1/models/of-the-hub").status_code == 204


def test_a_repo_says_its_task_and_one_its_family_lacks_is_refused(admin: httpx2.Client) -> None:
    repo = {"hub": "someone/something", "family": "flux", "task": "edit", "id": "an-editor"}
    made = admin.post("/api/v1/models", json=repo)
    assert (made.status_code, made.json()["task"]) == (201, "edit")
    assert "references" in {p["name"] for p in made.json()["parameters"]}
    assert admin.delete("/api/v1/models/an-editor").status_code == 204
    refused = admin.post("/api/v1/models", json={**repo, "family": "sdxl"})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/registry-invalid")


def test_what_is_made_here_is_fetched_in_the_background(admin: httpx2.Client) -> None:
    begun = admin.post("/api/v1/models/scribble-flux/pull")
    assert begun.status_code == 202
    assert begun.json()["id"] == "scribble-flux"


def test_the_default_model_is_not_removed(admin: httpx2.Client) -> None:
    refused = admin.delete("/api/v1/models/scribble-xl")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/conflict")


@pytest.mark.parametrize(
    "name",
    [
        "model.ckpt",
        "model.pt",
        ".safetensors",
        "..safetensors",
        "a b.safetensors",
        "x.safetensors.pt",
    ],
)
def test_a_file_of_another_kind_is_refused_by_its_name(admin: httpx2.Client, name: str) -> None:
    refused = admin.put(f"/api/v1/models/files/{name}", content=checkpoint(), headers=BYTES)
    assert refused.status_code == 422


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 a pickle in disguise", b"\x80\x04\x95", checkpoint()[:-3]],
    ids=["empty", "zip", "pickle", "cut"],
)
def test_bytes_that_are_no_weights_are_refused_and_not_kept(
    server: Running, admin: httpx2.Client, content: bytes
) -> None:
    name = f"bad-{uuid.uuid4().hex[:6]}.safetensors"
    refused = admin.put(f"/api/v1/models/files/{name}", content=content, headers=BYTES)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-request")
    left = [path.name for path in server.models_dir.iterdir() if name in path.name]
    assert left == []


def test_an_upload_that_breaks_off_leaves_nothing(server: Running, admin: httpx2.Client) -> None:
    name = f"broken-{uuid.uuid4().hex[:6]}.safetensors"

    def breaking() -> Iterator[bytes]:
        yield checkpoint()[:10]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        admin.put(f"/api/v1/models/files/{name}", content=breaking(), headers=BYTES)
    until(lambda: not [path for path in server.models_dir.iterdir() if name in path.name])
    again = admin.put(f"/api/v1/models/files/{name}", content=checkpoint(), headers=BYTES)
    assert again.status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"file": "../../etc/passwd"},
        {"file": "/etc/passwd"},
        {"file": "~/.ssh/id_rsa"},
        {"file": "not-there.safetensors"},
        {"hub": "nowhere", "family": "sdxl"},
        {"hub": "a/b", "family": "pony"},
        {"hub": "a/b", "family": "sdxl", "url": "http://x"},
        {"hub": "a/b", "family": "sdxl", "file": "weights.ckpt"},
        {"url": "https://example.com/x.safetensors", "sha256": "0" * 64},
        {"folder": "/etc"},
    ],
)
def test_a_source_that_http_may_not_name_is_refused(
    admin: httpx2.Client, body: dict[str, Any]
) -> None:
    refused = admin.post("/api/v1/models", json=body)
    assert refused.status_code == 422, refused.text
    assert str(REPOSITORY) not in refused.text
