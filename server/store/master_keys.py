"""Master keys: in a file beside the data, or given; always several at once while one changes."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from server.domain.errors import ConflictError, InvalidRequestError, MasterKeyError
from server.store.trouble import folder_trouble

FILE = "master-key"
_LOCK = "master-key.lock"
_HEAD = "# The keys of remote services are encrypted with this. Keep a copy apart from the data.\n"
_BYTES = 32
_LEFT_SECONDS = 60.0
_REMEDY = (
    "put the file master-key back into the data folder, or set GREENROOM_MASTER_KEY to what it "
    "was; if it is lost, `greenroom connections rotate-key --forget` starts a new one and each "
    "key must be given again"
)


@dataclass(frozen=True, slots=True)
class MasterKey:
    """An AES-256 key. `id` is derived from it and tells nothing about it."""

    id: str
    secret: bytes = field(repr=False)


class MasterKeys:
    """The master keys at hand, by id. Which of them is in use is the database's to say.

    Args:
        folder: the data folder; the file is made in it at first need.
        given: keys from the settings, the one to use first; empty: the file has them.
    """

    def __init__(self, folder: Path, given: Sequence[SecretStr] = ()) -> None:
        self._path = folder / FILE
        self._given = tuple(_derived(key.get_secret_value()) for key in given)
        self._known = {key.id: key for key in self._given}

    @property
    def are_given(self) -> bool:
        """Whether they come from the settings, so that the file does not count."""
        return bool(self._given)

    def find(self, key_id: str) -> MasterKey:
        """Return the key of that id; the file is read again for one that was made meanwhile.

        Raises:
            MasterKeyError: it is not here.
        """
        if key_id not in self._known and not self.are_given:
            self._known = {key.id: key for key in self._read()}
        if key_id not in self._known:
            wrong = "is another one" if self._known else "is missing"
            raise MasterKeyError(f"the master key {wrong} (needed: {key_id}); {_REMEDY}")
        return self._known[key_id]

    def first(self) -> MasterKey:
        """Return the key to begin with; without any, one is made and kept.

        Raises:
            MasterKeyError: the file is damaged.
            StorageFullError, StorageUnavailableError: it cannot be written.
        """
        if not self.are_given and not self._lines():
            self._make()
        keys = self._given or self._read()
        if not keys:
            raise MasterKeyError(f"the file master-key is damaged; {_REMEDY}")
        return keys[0]

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Be the only process that changes the file.

        Raises:
            ConflictError: another one does.
        """
        with folder_trouble():
            descriptor = os.open(self._path.with_name(_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sweep()
            yield
        except BlockingIOError as error:
            raise ConflictError("another process changes the master key; wait for it") from error
        finally:
            os.close(descriptor)  # this also unlocks

    def next(self, used: str | None) -> MasterKey:
        """Return a key to change to, kept before this returns, beside all that were there.

        Args:
            used: id of the key in use.

        Raises:
            InvalidRequestError: keys are given, and none of them is new.
        """
        if not self.are_given:
            fresh = _fresh_line()
            self._write((fresh, *self._lines()))
            return _derived(fresh)
        if self._given[0].id == used:
            raise InvalidRequestError(
                "GREENROOM_MASTER_KEY begins with the key in use; put a new one before it: "
                "GREENROOM_MASTER_KEY=NEW,OLD"
            )
        return self._given[0]

    def keep_only(self, key_id: str) -> None:
        """Drop every other key from the file; given ones are not ours to drop."""
        if not self.are_given:
            self._write(tuple(line for line in self._lines() if _derived(line).id == key_id))
            self._known = {key.id: key for key in self._read()}

    def _read(self) -> tuple[MasterKey, ...]:
        # A damaged line would derive a key that nobody means; it stays in the file all the same.
        whole = (line for line in self._lines() if len(line) == len(_fresh_line()))
        return tuple(map(_derived, whole))

    def _lines(self) -> tuple[str, ...]:
        try:
            text = self._path.read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise MasterKeyError(
                f"the file master-key cannot be read ({error.strerror}); let the user that runs "
                "the server read it"
            ) from error
        return tuple(line for line in text.splitlines() if line and not line.startswith("#"))

    def _make(self) -> None:
        with folder_trouble(), self._staged((_fresh_line(),)) as fresh:
            try:
                self._path.hardlink_to(fresh)  # unlike a rename it never replaces another's
            except FileExistsError:
                return
            _sync_folder(self._path.parent)

    def _write(self, lines: Sequence[str]) -> None:
        with folder_trouble(), self._staged(lines) as fresh:
            fresh.replace(self._path)  # whole or not at all
            _sync_folder(self._path.parent)

    def _sweep(self) -> None:
        """Remove what a kill left of a file; one that is written just now is younger."""
        for left in self._path.parent.glob(f".{FILE}-*"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                    left.unlink()

    @contextmanager
    def _staged(self, lines: Sequence[str]) -> Iterator[Path]:
        """Write a file of mode 0600 that the disk has for sure; what is left of it is removed."""
        fresh = self._path.with_name(f".{FILE}-{secrets.token_hex(8)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(_HEAD + "".join(f"{line}\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            yield fresh
        finally:
            fresh.unlink(missing_ok=True)


def _fresh_line() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).decode()


def _derived(text: str) -> MasterKey:
    """Return the key that `text`, of full entropy, stands for."""
    derive = HKDF(algorithm=SHA256(), length=_BYTES, salt=None, info=b"greenroom connections")
    secret = derive.derive(text.encode())
    return MasterKey(hashlib.sha256(b"greenroom key id" + secret).hexdigest()[:16], secret)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
