"""A key of a connection goes to its service, sealed to the database, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain.connections import ConnectionChange, ConnectionWish
from tests.remote_service import RemoteService, remote_service
from tests.serving import TOKEN, ServerProcess

CONNECTIONS = "/api/v1/connections"
# Long enough to be found nowhere by chance; with what JSON, HTML and logs escape.
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=60)
STATUSES = st.sampled_from([200, 400, 401, 402, 403, 404, 429, 500, 503])


@pytest.fixture(scope="module")
def service() -> Iterator[RemoteService]:
    with remote_service() as running:
        running.repeats_key = True
        yield running


@pytest.fixture(scope="module")
def process(
    tmp_path_factory: pytest.TempPathFactory, scribble_models: Path
) -> Iterator[ServerProcess]:
    with ServerProcess(
        tmp_path_factory.mktemp("keys"),
        scribble_models,
        settings={"GREENROOM_LOG_FORMAT": "json"},
    ) as running:
        yield running


class Said:
    """Everything that a server answers, head and body."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client
        self.text = ""

    def __call__(self, method: str, path: str, body: object = None) -> httpx2.Response:
        response = self._client.request(method, path, json=body)
        self.text += f"{response.headers}\n{response.text}\n"
        return response


def forms(key: str) -> set[str]:
    """How `key` could stand in an answer, a file or a log."""
    return {key, json.dumps(key)[1:-1], repr(key)[1:-1], json.dumps(json.dumps(key))[3:-3]}


def asked_everything(said: Said, service: RemoteService, key: str) -> None:
    """Make a connection with `key` and ask whatever there is to ask."""
    body = {"name": "nano", "provider": "openai", "model": "gpt-image-1.5", "key": key}
    made = said("POST", CONNECTIONS, body | {"base_url": service.url})
    assert made.status_code == 201, made.text
    where = f"{CONNECTIONS}/{made.json()['id']}"
    copy = said("POST", f"{where}/duplicate", {}).json()["id"]
    said("POST", f"{where}/test")
    said("GET", f"{where}/models?fresh=true")
    said("PATCH", where, {"concurrency": 3})
    said("PATCH", where, {"key": key, "takes_pictures": True})
    said("POST", CONNECTIONS, body)  # the name is taken
    for wrong in ({"key": [key]}, {"key": {"is": key}}, {"key": f"{key} x"}, {"secret": key}):
        assert said("POST", CONNECTIONS, {**body, "name": "x", **wrong}).status_code == 422
        assert said("PATCH", where, wrong).status_code == 422
    said("POST", f"{CONNECTIONS}/order", {"ids": [copy]})
    for path in ("", f"/{copy}", "/export"):
        assert said("GET", f"{CONNECTIONS}{path}").status_code == 200
    for path in ("/metrics", "/api/v1/models", "/v1/models", "/health/ready", "/openapi.json"):
        said("GET", path)
    for one in (where, f"{CONNECTIONS}/{copy}"):
        assert said("DELETE", one).status_code == 204


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(key=KEYS, status=STATUSES)
def test_no_answer_file_or_log_ever_holds_a_key(
    process: ServerProcess, service: RemoteService, key: str, status: int
) -> None:
    service.key, service.status = key, status
    service.seen.clear()
    said = Said(process.client)
    asked_everything(said, service, key)
    assert f"Bearer {key}" in service.seen  # it really is the one in use
    log = process.data_dir.parent / f"{process.data_dir.name}.log"
    files = [file for file in process.data_dir.rglob("*") if file.is_file()]
    assert {"greenroom.db", "master-key"} <= {file.name for file in files}
    for form in forms(key):
        assert form not in said.text
        for file in (log, *files):
            assert form.encode() not in file.read_bytes(), file.name
    assert "connection.created" in log.read_text()


def test_the_log_and_the_answers_do_not_hold_the_master_key(process: ServerProcess) -> None:
    said = Said(process.client)
    body = {"name": "kept", "provider": "openai", "model": "m", "key": "sk-something"}
    where = f"{CONNECTIONS}/{said('POST', CONNECTIONS, body).json()['id']}"
    said("POST", f"{where}/test")
    said("DELETE", where)
    log = process.data_dir.parent / f"{process.data_dir.name}.log"
    [line] = [
        line
        for line in (process.data_dir / "master-key").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert line not in said.text + log.read_text()
    assert TOKEN not in said.text


def test_a_key_has_no_look_in_python_either() -> None:
    secret = "sk-a-key-that-must-not-leak"  # noqa: S105
    wish = ConnectionWish.model_validate(
        {"name": "nano", "provider": "gemini", "model": "m", "key": secret}
    )
    change = ConnectionChange.model_validate({"key": secret})
    for value in (wish, change):
        looks = f"{value!r} {value} {value.model_dump()} {value.model_dump_json()}"
        assert secret not in looks
