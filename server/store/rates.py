"""Measured speeds, so that a restarted server knows its times."""

from __future__ import annotations

from sqlalchemy import select

from server.store.database import Database
from server.store.schema import rates


class RateRepository:
    """Seconds per FLOP of each model on each device."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, device: str) -> dict[str, float]:
        """Return the rates on `device` by model."""
        statement = select(rates.c.model, rates.c.seconds_per_flop).where(rates.c.device == device)
        rows = await self._database.read(statement)
        return {row.model: row.seconds_per_flop for row in rows}

    async def save(self, device: str, model: str, seconds_per_flop: float) -> None:
        """Keep a rate in place of the one before."""
        values = {"device": device, "model": model, "seconds_per_flop": seconds_per_flop}
        await self._database.write(lambda t: t.put(rates, values, ["device", "model"]))
