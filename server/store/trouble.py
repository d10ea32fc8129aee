"""Storage trouble by its right name: full, or not answering. Translated where it enters."""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from server.domain.errors import AppError, StorageFullError, StorageUnavailableError

_OURS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)  # mistakes, not trouble
_FULL = "the disk is full; free some space, what is unfinished goes on then"
_READ_ONLY = "storage is read-only; make it writable for the user that runs the server"
# SQLite's primary result codes and PostgreSQL's SQLSTATE classes, to what helps.
_SQLITE = {
    5: "another process holds the database; close what uses it, or wait",
    6: "another process holds the database; close what uses it, or wait",
    8: _READ_ONLY,
    10: "the disk under the database fails; look into the system's log",
    11: "the database is damaged; restore it from a backup",
    14: "the database cannot be opened; its folder must exist and be writable",
    26: "the database file is something else; name another, or restore it from a backup",
}
_POSTGRES = {
    "25": _READ_ONLY,
    "28": "PostgreSQL refuses the sign-in; look at user and password in GREENROOM_DATABASE_URL",
    "3D": "PostgreSQL has no such database; create it, or change GREENROOM_DATABASE_URL",
    "42": "PostgreSQL denies a right; the user must own the database",
    "53": "PostgreSQL is out of connections or memory; raise its limits",
}
_SQLITE_FULL = 13
_SILENT = "the database does not answer; start it, or change GREENROOM_DATABASE_URL"
_NO_BLOBS = "the blob store does not answer; look at GREENROOM_BLOBS_URL, its keys and the network"


@contextmanager
def database_trouble() -> Iterator[None]:
    """Raise a database's failures as StorageFullError or StorageUnavailableError."""
    try:
        yield
    except _OURS:
        raise
    except (DatabaseError, InterfaceError) as error:
        raise _database_error(error.orig) from error
    except sqlite3.OperationalError as error:  # of BEGIN, which goes straight to the driver
        raise _database_error(error) from error
    except PoolTimeoutError as error:
        raise StorageUnavailableError(_SILENT) from error


def _database_error(error: BaseException | None) -> AppError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        primary = code & 0xFF  # the rest is detail
        if primary == _SQLITE_FULL:
            return StorageFullError(_FULL)
        return StorageUnavailableError(_SQLITE.get(primary, _SILENT))
    state = getattr(error, "sqlstate", None) or ""
    if state == "53100":
        return StorageFullError(_FULL)
    return StorageUnavailableError(_POSTGRES.get(state[:2], _SILENT))


@contextmanager
def blob_trouble() -> Iterator[None]:
    """Raise a blob store's failures by name; FileNotFoundError passes, it is an answer."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        raise _blob_error(error) from error


@contextmanager
def folder_trouble() -> Iterator[None]:
    """Raise a data folder's failures by name."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise StorageUnavailableError("there is no data folder; make it first") from error
        raise _blob_error(error) from error


def _blob_error(error: Exception) -> AppError:
    # obstore gives the system's error only in its text.
    said = re.search(r"os error (\d+)", str(error))
    number = int(said[1]) if said else getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageFullError(_FULL)
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StorageUnavailableError(_READ_ONLY)
    return StorageUnavailableError(_NO_BLOBS)
