"""A PostgreSQL server of the tests' own: a Unix socket in a temporary folder, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

GIVEN = os.environ.get("GREENROOM_TEST_POSTGRES_URL")


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, the newest one there is."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent  # beside its sisters, where others may run it, too
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    return None if newest is None else newest.parent


def is_available() -> bool:
    return GIVEN is not None or programs() is not None


@contextmanager
def running() -> Iterator[str]:
    """The URL of a server on which databases may be made."""
    if GIVEN is not None:
        yield GIVEN
        return
    bin_folder = programs()
    assert bin_folder is not None
    folder = Path(tempfile.mkdtemp(prefix="greenroom-pg-"))
    who = _unprivileged(folder)
    data = folder / "data"
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
    try:
        _run(who, bin_folder / "initdb", "-D", data, "-U", "greenroom", "-A", "trust", "-E", "UTF8")
        _run(
            who, bin_folder / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w",
            "start",
        )  # fmt: skip
        try:
            yield f"postgresql://greenroom@/postgres?host={folder}"
        finally:
            _run(who, bin_folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The URL of a new, empty database."""
    name = f"greenroom_{uuid.uuid4().hex[:12]}"
    execute(server, f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        yield database_url(server, name)
    finally:
        execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def database_url(server: str, name: str) -> str:
    before, _, after = server.partition("?")
    return f"{before.rpartition('/')[0]}/{name}" + (f"?{after}" if after else "")


def execute(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())


def _unprivileged(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: who runs it instead."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise LookupError("no user to run PostgreSQL as")


def _run(who: dict[str, Any], program: Path, *arguments: str | Path) -> None:
    done = subprocess.run(  # noqa: S603
        [program, *arguments],
        **who,
        cwd="/",
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the server would hold a pipe open
        stderr=subprocess.PIPE if program.name == "initdb" else subprocess.DEVNULL,
    )
    if done.returncode:
        raise RuntimeError(f"{program.name} failed: {(done.stderr or b'').decode()[-2000:]}")
