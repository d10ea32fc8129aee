"""`greenroom keys`, with and without a running server."""

import json
from pathlib import Path

import httpx2
import pytest

from tests.cli.running import greenroom
from tests.serving import ServerProcess


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(tmp_path: Path) -> None:
    made = greenroom("keys", "create", "Ann's laptop", data_dir=tmp_path)
    secret = made.out.strip()
    assert made.code == 0, made.err
    assert secret.startswith("gr-")
    assert "not shown again" in made.err

    listed = greenroom("keys", "list", data_dir=tmp_path)
    assert "Ann's laptop" in listed.out
    assert secret not in listed.out
    [key] = json.loads(greenroom("keys", "list", "--json", data_dir=tmp_path).out)
    assert key["id"] in listed.out

    assert greenroom("keys", "revoke", key["id"], data_dir=tmp_path).code == 0
    assert "revoked" in greenroom("keys", "list", data_dir=tmp_path).out


def test_an_unknown_key_cannot_be_revoked(tmp_path: Path) -> None:
    done = greenroom("keys", "revoke", "0" * 26, data_dir=tmp_path)
    assert done.code == 1
    assert done.err == f"Error: no key '{'0' * 26}'\n"


def test_two_keys_of_one_owner_are_made_for_programs(tmp_path: Path) -> None:
    words = ("keys", "create", "--owner", "ann", "--json")
    keys = [json.loads(greenroom(*words, name, data_dir=tmp_path).out) for name in ("a", "b")]
    assert [key["owner"] for key in keys] == ["ann", "ann"]
    assert keys[0]["scopes"] == ["generate"]


@pytest.mark.slow
def test_a_running_server_takes_a_new_key_and_drops_a_revoked_one(
    tmp_path: Path, scribble_models: Path
) -> None:
    data_dir = tmp_path / "data"
    with ServerProcess(data_dir, scribble_models) as server:
        made = json.loads(greenroom("keys", "create", "b", "--json", data_dir=data_dir).out)
        headers = {"Authorization": f"Bearer {made['secret']}"}
        url = f"http://127.0.0.1:{server.port}/api/v1/jobs"
        assert httpx2.get(url, headers=headers).status_code == 200
        greenroom("keys", "revoke", made["id"], data_dir=data_dir)
        assert httpx2.get(url, headers=headers).status_code == 401
