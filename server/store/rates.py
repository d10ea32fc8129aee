"""Measured seconds per FLOP, so that a restart does not forget them."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from server.store.database import Database
from server.store.tables import rates


class RateRepository:
    """One number for each device and model."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, device: str) -> dict[str, float]:
        """Return the rates of a device by model."""
        query = select(rates.c.model, rates.c.seconds_per_flop).where(rates.c.device == device)
        async with self._database.read() as connection:
            return {row.model: row.seconds_per_flop for row in await connection.execute(query)}

    async def save(self, device: str, model: str, seconds_per_flop: float) -> None:
        """Keep a rate in place of the one before."""
        same = (rates.c.device == device) & (rates.c.model == model)
        values = {"device": device, "model": model, "seconds_per_flop": seconds_per_flop}
        async with self._database.write() as connection:
            await connection.execute(delete(rates).where(same))
            await connection.execute(insert(rates).values(values))
