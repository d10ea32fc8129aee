"""Column types that carry domain values and read the same from both databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import DateTime, Dialect, Row, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

M = TypeVar("M", bound=BaseModel)


def read(model: type[M], row: Row[Any]) -> M:
    """Return the domain value in a row that has a column for each of its fields."""
    values = row._mapping  # noqa: SLF001 - public in SQLAlchemy, underscored like a namedtuple's
    return model.model_validate({name: values[name] for name in model.model_fields})


class UtcTime(TypeDecorator[datetime]):
    """A moment: stored in UTC, always aware on the way out. A naive one is a programming error."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn to UTC, since SQLite drops the zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a stored time needs a zone, got {value.isoformat()}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Name the zone that SQLite dropped; PostgreSQL answers in the session's."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Word(TypeDecorator[str]):
    """An id, an owner, a state: compared byte by byte, whatever the database's locale."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """PostgreSQL would order by locale; ids must order as in Python."""
        return Text(collation="C" if dialect.name == "postgresql" else None)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what no database text holds (NUL, lone surrogates): it then matches nothing."""
        if value is None:
            return None
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


class Prose(TypeDecorator[str]):
    """Free text of a caller, kept exactly, NUL included: as a JSON string, which escapes it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Quote."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Unquote."""
        return None if value is None else str(json.loads(value))


class Numbers(TypeDecorator[tuple[int, ...]]):
    """A few small integers."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[int, ...] | None, dialect: Dialect) -> str | None:
        """Write, separated by spaces."""
        return None if value is None else " ".join(map(str, value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[int, ...] | None:
        """Read."""
        return None if value is None else tuple(map(int, value.split()))


class Json(TypeDecorator[M], Generic[M]):
    """A domain value as its own JSON; read back through its own checks."""

    impl = Text
    cache_ok = True

    def __init__(self, model: type[M]) -> None:
        super().__init__()
        self.model = model

    def process_bind_param(self, value: M | None, dialect: Dialect) -> str | None:
        """Write."""
        return None if value is None else value.model_dump_json()

    def process_result_value(self, value: str | None, dialect: Dialect) -> M | None:
        """Read."""
        return None if value is None else self.model.model_validate_json(value)
