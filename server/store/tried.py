"""What became of each member that a job's route named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import select

from server.domain.routes import Tried
from server.store.columns import read
from server.store.database import Database, Transaction
from server.store.schema import tried


class TriedRepository:
    """The records of all jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, job_id: str, *lines: Tried) -> None:
        """Keep lines of a job's record in place of those with the same numbers."""
        rows = [dict(line) | {"job_id": job_id} for line in lines]

        def work(transaction: Transaction) -> None:
            for row in rows:
                transaction.put(tried, row, ["job_id", "number"])

        await self._database.write(work)

    async def of_job(self, job_id: str) -> list[Tried]:
        """Return a job's record in order."""
        return (await self.of_jobs([job_id])).get(job_id, [])

    async def of_jobs(self, job_ids: Sequence[str]) -> dict[str, list[Tried]]:
        """Return the records of several jobs; those without any are absent."""
        if not job_ids:
            return {}
        found: defaultdict[str, list[Tried]] = defaultdict(list)
        statement = select(tried).where(tried.c.job_id.in_(job_ids))
        for row in await self._database.read(statement.order_by(tried.c.job_id, tried.c.number)):
            found[row.job_id].append(read(Tried, row))
        return dict(found)
