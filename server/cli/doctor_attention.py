"""Which kernel computes attention, as the worker measured it; read without changing anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from server.cli.doctor_checks import Facts, Finding
from server.domain.errors import StorageUnavailableError
from server.domain.row_times import RowTime
from server.engine.attention.choice import MODEL, USUAL, Measured, measured_before
from server.settings import Settings
from server.store.connect import parse

_NAME = "attention"
_SECONDS = 5


def attention(settings: Settings, facts: Facts) -> tuple[Finding, ...]:
    """Return a line of what is there, and one for each network that was measured."""
    xformers = Finding("ok", _NAME, f"torch's own kernels; xformers: {facts.xformers}")
    found = _measured(settings)
    if not found:
        said = "not measured yet; the first picture of each model and size does it"
        return (xformers, Finding("ok", _NAME, said))
    return (xformers, *(Finding("ok", _NAME, _said(*each)) for each in found))


def _said(hardware: str, measured: Measured) -> str:
    chosen = measured.chosen
    inner = "torch's own choice" if chosen == USUAL else chosen
    fastest = sorted(measured.seconds.items(), key=lambda one: one[1])
    times = ", ".join(f"{name} {seconds * 1000:.3g} ms" for name, seconds in fastest)
    share = f"of a forward of {measured.forward * 1000:.3g} ms"
    return f"{inner} for {measured.where}: {times}, {share} ({hardware})"


def _measured(settings: Settings) -> Sequence[tuple[str, Measured]]:
    points = _points(settings)
    return [
        (hardware, each)
        for hardware in sorted({point.hardware for point in points})
        for each in measured_before([p for p in points if p.hardware == hardware])
    ]


def _points(settings: Settings) -> Sequence[RowTime]:
    """Return what is kept; nothing where there is no database yet, or one that is in trouble.

    What trouble it is, the line about the database says.
    """
    from sqlalchemy import URL, create_engine, select
    from sqlalchemy.exc import SQLAlchemyError

    from server.store.schema import row_times

    try:
        url = parse(settings.store_url)
    except StorageUnavailableError:
        return ()
    options: dict[str, object] = {"connect_timeout": _SECONDS}
    if url.get_backend_name() == "sqlite":
        file = Path(url.database or "").resolve().as_uri()
        url = URL.create("sqlite", database=file, query={"mode": "ro", "uri": "true"})
        options = {"timeout": _SECONDS}
    engine = create_engine(url, connect_args=options)
    try:
        with engine.connect() as connection:
            rows = connection.execute(select(row_times).where(row_times.c.model == MODEL))
            return tuple(RowTime.model_validate(dict(row)) for row in rows.mappings())
    except SQLAlchemyError:
        return ()
    finally:
        engine.dispose()
