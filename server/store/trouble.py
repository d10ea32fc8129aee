"""Storage trouble by its right name: full, or not answering. Translated where it enters."""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from server.domain.errors import AppError, StorageFullError, StorageUnavailableError

_FULL = "the disk is full; free some space, what is unfinished goes on then"
_READ_ONLY = "storage is read-only; make it writable for the user that runs the server"
_LOCKED = "another process holds the database; close what uses it, or wait"
# SQLite's primary result codes, and PostgreSQL's SQLSTATE codes and classes, to what helps.
_SQLITE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_IOERR: "the disk under the database fails; look into the system's log",
    sqlite3.SQLITE_CORRUPT: "the database is damaged; restore it from a backup",
    sqlite3.SQLITE_CANTOPEN: (
        "the database cannot be opened; its folder must exist and be writable"
    ),
    sqlite3.SQLITE_NOTADB: (
        "the database file is something else; name another, or restore it from a backup"
    ),
}
_POSTGRES = {
    "25006": _READ_ONLY,
    "28": "PostgreSQL refuses the sign-in; look at user and password in GREENROOM_DATABASE_URL",
    "3D": "PostgreSQL has no such database; create it, or change GREENROOM_DATABASE_URL",
    "42501": "PostgreSQL denies a right; the user must own the database",
    "53": "PostgreSQL is out of connections or memory; raise its limits",
}
_SILENT = "the database does not answer; start it, or change GREENROOM_DATABASE_URL"
_NO_BLOBS = "the blob store does not answer; look at GREENROOM_BLOBS_URL, its keys and the network"


@contextmanager
def database_trouble() -> Iterator[None]:
    """Raise a database's failures as StorageFullError or StorageUnavailableError.

    A wrong statement or a broken constraint is our mistake, no trouble: it passes as it is.
    """
    try:
        yield
    except DBAPIError as error:
        raise _named(error.orig) or error from error.orig
    except sqlite3.OperationalError as error:  # of BEGIN, which goes straight to the driver
        raise _named(error) or error from error
    except PoolTimeoutError as error:
        raise StorageUnavailableError(_SILENT) from error


def _named(error: BaseException | None) -> AppError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return _sqlite_error(code & 0xFF)  # the rest is detail
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return _postgres_error(state)
    # Without a code it comes from a driver: a lost or refused connection, or a misuse.
    is_lost = type(error).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout")
    return StorageUnavailableError(_SILENT) if is_lost else None


def _sqlite_error(code: int) -> AppError | None:
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError(_FULL)
    return StorageUnavailableError(_SQLITE[code]) if code in _SQLITE else None


def _postgres_error(state: str) -> AppError | None:
    if state == "53100":
        return StorageFullError(_FULL)
    remedy = _POSTGRES.get(state) or _POSTGRES.get(state[:2])
    if remedy is None and state[:2] in ("08", "57", "58"):  # connection, shutdown, its machine
        remedy = _SILENT
    return None if remedy is None else StorageUnavailableError(remedy)


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
