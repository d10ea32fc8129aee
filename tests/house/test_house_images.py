"""Dockerfile.cuda and compose.yaml hold what they promise, as far as reading can tell."""

import json
import re
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml

from server.settings import Settings
from tests.house.repository import ROOT

DOCKERFILE = (ROOT / "Dockerfile.cuda").read_text()


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in DOCKERFILE.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (x.partition(" ") for x in joined.splitlines() if x)]


def final_stage() -> list[tuple[str, str]]:
    last = max(i for i, (word, _) in enumerate(instructions()) if word == "FROM")
    return instructions()[last:]


def test_it_has_two_stages_on_a_pinned_cuda_base() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert len(bases) == 2
    for base in bases:
        assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-\w+-ubuntu\d\d\.\d\d", base)


def test_the_server_runs_without_root_with_volumes_and_a_health_check() -> None:
    words = dict(final_stage())
    assert words["USER"] not in ("root", "0")
    assert json.loads(words["VOLUME"]) == ["/data", "/models"]
    assert json.loads(words["CMD"]) == ["greenroom", "serve"]
    check = words["HEALTHCHECK"].partition("CMD ")[2]
    program, option, script = json.loads(check)
    assert (program, option) == ("python3", "-c")
    compile(script, "HEALTHCHECK", "exec")
    assert "/health/live" in script


def test_user_comes_after_everything_that_needs_root() -> None:
    words = [word for word, _ in final_stage()]
    assert words.index("USER") > max(i for i, word in enumerate(words) if word == "RUN")


def test_no_stage_brings_node() -> None:
    assert not re.search(r"\b(node|npm|nodejs)\b", DOCKERFILE)


def test_everything_that_is_copied_exists_and_reaches_the_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = [line[1:] for line in ignored if line.startswith("!")]
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(fnmatch(source, pattern) for pattern in let_through), source


def test_every_greenroom_variable_in_it_is_a_setting() -> None:
    used = set(re.findall(r"GREENROOM_[A-Z_]+", DOCKERFILE + (ROOT / "compose.yaml").read_text()))
    assert used <= {f"GREENROOM_{name.upper()}" for name in Settings.model_fields}


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


def test_compose_runs_the_server_on_a_gpu_beside_postgresql(compose: dict[str, Any]) -> None:
    server, database = compose["services"]["server"], compose["services"]["database"]
    assert (ROOT / server["build"]["dockerfile"]).is_file()
    [device] = server["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert server["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert re.fullmatch(r"postgres:\d+\.\d+-\w+", database["image"])
    assert "pg_isready" in database["healthcheck"]["test"]


def test_compose_keeps_data_in_named_volumes_and_no_secret(compose: dict[str, Any]) -> None:
    mounted = {
        volume.partition(":")[0]
        for service in compose["services"].values()
        for volume in service["volumes"]
    }
    assert mounted == set(compose["volumes"]) == {"data", "models", "database"}
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            if "PASSWORD" in name or "TOKEN" in name:
                assert value is None or value.startswith("${"), name


def test_only_this_machine_reaches_the_port(compose: dict[str, Any]) -> None:
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["server"]["ports"])
