"""What `greenroom doctor` looks at, one finding each; nothing here changes anything."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from server.domain.errors import StorageUnavailableError
from server.domain.plans import Weights
from server.engine.devices import find_devices
from server.registry.registry import Registry
from server.settings import Settings, unknown_variables
from server.store.connect import parse

_ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 120
_DATABASE_SECONDS = 5
_LOW_DISK_BYTES = 20 * 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. note: worth knowing; bad: something will not work."""

    state: Literal["ok", "note", "bad"]
    name: str
    said: str


class Device(BaseModel):
    """A device as `server.engine.facts` tells it."""

    id: str
    name: str = ""
    free_bytes: int = 0
    total_bytes: int = 0
    dtype: str = ""
    weights: tuple[Weights, ...] = ("full",)  # the forms that it can hold them in
    error: str | None = None


class Facts(BaseModel):
    """What torch says of this machine; `error` where it could not be asked."""

    torch: str = ""
    cuda: str | None = None
    xformers: str = ""
    torchao: str | None = None
    devices: tuple[Device, ...] = ()
    error: str | None = None


def device_facts(settings: Settings) -> Facts:
    """Ask torch in a process of its own, since importing it takes seconds and may fail."""
    command = [sys.executable, "-m", "server.engine.facts", *find_devices(settings.devices)]
    try:
        done = subprocess.run(  # noqa: S603 - our own module, our own words
            command,
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Facts(error=f"torch did not answer within {_PATIENCE_SECONDS} seconds")
    last = done.stdout.strip().splitlines()[-1:] or [""]
    try:
        return Facts.model_validate_json(last[0])
    except ValidationError:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return Facts(error=f"torch cannot be used: {said[0]}; run `make setup` again")


def findings(settings: Settings, facts: Facts, registry: Registry) -> tuple[Finding, ...]:
    """Return everything there is to say, in the order of a person's questions."""
    return (
        Finding("ok", "python", f"{platform.python_version()} on {platform.platform()}"),
        *_devices(settings, facts),
        *_folders(settings),
        _database(settings),
        *_models(settings, registry),
        *(
            Finding("note", "settings", f"{name} is no setting and changes nothing")
            for name in unknown_variables()
        ),
    )


def _devices(settings: Settings, facts: Facts) -> Iterator[Finding]:
    if facts.error is not None:
        yield Finding("bad", "torch", facts.error)
        return
    build = f"CUDA {facts.cuda}" if facts.cuda else "CPU build"
    yield Finding("ok", "torch", f"{facts.torch} ({build})")
    for device in facts.devices:
        if device.error is not None:
            yield Finding("bad", "device", f"{device.id}: {device.error}")
            continue
        memory = f"{_gib(device.free_bytes)} of {_gib(device.total_bytes)} free"
        yield Finding("ok", "device", f"{device.id}: {device.name}, {memory}, {device.dtype}")
    if _has_card() and not any(device.id.startswith("cuda") for device in facts.devices):
        why = "torch is a CPU build" if facts.cuda is None else f"devices are {settings.devices}"
        yield Finding("note", "device", f"there is an NVIDIA card, but {why}")
    yield Finding("ok", "torchao", facts.torchao or "not installed; only quantisation needs it")


def _folders(settings: Settings) -> Iterator[Finding]:
    for name, folder in (("data folder", settings.data_dir), ("models", settings.weights_dir)):
        there = next(p for p in (folder, *folder.parents) if p.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            yield Finding("bad", name, f"{folder} does not take writes; set GREENROOM_DATA_DIR")
            continue
        free = shutil.disk_usage(there).free
        made = "" if folder.exists() else ", made at the first start"
        state: Literal["ok", "note"] = "note" if free < _LOW_DISK_BYTES else "ok"
        yield Finding(state, name, f"{folder}{made}, {_gib(free)} free")


def _database(settings: Settings) -> Finding:
    """Look without migrating: `serve` does that."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        url = parse(settings.store_url)
    except StorageUnavailableError as error:
        return Finding("bad", "database", error.detail)
    if url.get_backend_name() == "sqlite":
        return _sqlite(Path(url.database or ""))
    engine = create_engine(url, connect_args={"connect_timeout": _DATABASE_SECONDS})
    try:
        with engine.connect() as connection:
            version = connection.execute(text("show server_version")).scalar_one()
    except SQLAlchemyError as error:
        # Its own text may hold the address with its password.
        said = f"does not answer ({type(error).__name__}); see GREENROOM_DATABASE_URL"
        return Finding("bad", "database", said)
    finally:
        engine.dispose()
    return Finding("ok", "database", f"PostgreSQL {version} at {url.host}")


def _sqlite(path: Path) -> Finding:
    import sqlite3

    if not path.exists():
        return Finding(
            "ok", "database", f"SQLite {sqlite3.sqlite_version}, made at the first start"
        )
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            (said,) = connection.execute("pragma quick_check").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Finding("bad", "database", f"cannot be read: {error}")
    if said != "ok":
        return Finding("bad", "database", f"is damaged: {said}; restore it from a backup")
    return Finding("ok", "database", f"SQLite {sqlite3.sqlite_version}, sound")


def _models(settings: Settings, registry: Registry) -> Iterator[Finding]:
    yield Finding("ok", "models", f"{len(registry.entries())} in models.yaml")
    for broken in registry.broken():
        yield Finding("bad", "models", broken.reason)
    has_token = settings.hub_token is not None or "HF_TOKEN" in os.environ
    said = "set" if has_token else "not set; only gated models need it (GREENROOM_HUB_TOKEN)"
    yield Finding("ok", "hub token", said)


def _has_card() -> bool:
    driver = Path("/proc/driver/nvidia/gpus")
    return driver.is_dir() and any(driver.iterdir())


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
