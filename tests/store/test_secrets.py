"""Sealed secrets: opened by the same master key for the same place, and by nothing else."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from server.domain.errors import ConflictError, InvalidRequestError, MasterKeyError
from server.store.master_keys import MasterKey, MasterKeys
from server.store.secrets import Place, seal, unseal

KEY = MasterKey("id", bytes(range(32)))
PLACE = Place("0" * 26, "gemini", None)
SECRET = SecretStr("AIza-a-key-that-must-not-leak")


@given(st.text(min_size=1))
def test_what_is_sealed_opens_again_and_never_looks_the_same_twice(text: str) -> None:
    secret = SecretStr(text.encode("utf-8", "replace").decode())
    sealed = seal(secret, KEY, PLACE)
    assert unseal(sealed, KEY, PLACE) == secret
    assert sealed != seal(secret, KEY, PLACE)


@pytest.mark.parametrize(
    "place",
    [
        Place("1" * 26, "gemini", None),
        Place("0" * 26, "openai", None),
        Place("0" * 26, "gemini", "https://evil.example"),
    ],
)
def test_another_row_or_address_does_not_open_it(place: Place) -> None:
    sealed = seal(SECRET, KEY, PLACE)
    with pytest.raises(MasterKeyError, match="give the key again"):
        unseal(sealed, KEY, place)


def test_another_master_key_does_not_open_it() -> None:
    with pytest.raises(MasterKeyError):
        unseal(seal(SECRET, KEY, PLACE), MasterKey("id", bytes(32)), PLACE)


@given(st.integers(min_value=0), st.integers(0, 7))
def test_one_changed_bit_is_noticed(place: int, bit: int) -> None:
    data = bytearray(base64.b64decode(seal(SECRET, KEY, PLACE)))
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(MasterKeyError):
        unseal(base64.b64encode(data).decode(), KEY, PLACE)


@given(st.text(max_size=60))
def test_what_was_never_sealed_is_refused_by_name(text: str) -> None:
    with pytest.raises(MasterKeyError):
        unseal(text, KEY, PLACE)


def test_the_key_file_is_made_at_first_need_for_its_owner_alone(tmp_path: Path) -> None:
    keys = MasterKeys(tmp_path)
    with pytest.raises(MasterKeyError, match="is missing"):
        keys.find("0123456789abcdef")
    assert list(tmp_path.iterdir()) == []
    key = keys.first()
    [file] = tmp_path.iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == ("master-key", 0o600)
    assert MasterKeys(tmp_path).find(key.id) == MasterKeys(tmp_path).first() == key
    assert key.secret not in file.read_bytes()
    assert repr(key.secret) not in repr(key)


def test_a_new_key_stands_beside_the_old_one_until_the_old_one_is_dropped(tmp_path: Path) -> None:
    running, keys = MasterKeys(tmp_path), MasterKeys(tmp_path)
    old = running.first()
    with keys.changing():
        new = keys.next(old.id)
        assert running.find(new.id) == new
        assert MasterKeys(tmp_path).find(old.id) == old
        keys.keep_only(new.id)
    assert MasterKeys(tmp_path).first() == new
    with pytest.raises(MasterKeyError, match="another one"):
        keys.find(old.id)


def test_only_one_process_changes_the_file(tmp_path: Path) -> None:
    with (
        MasterKeys(tmp_path).changing(),
        pytest.raises(ConflictError, match="another process"),
        MasterKeys(tmp_path).changing(),
    ):
        pass


def test_a_damaged_file_is_said_to_be_damaged_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "master-key").write_text("short\n")
    keys = MasterKeys(tmp_path)
    for use in (keys.first, lambda: keys.find("0123456789abcdef")):
        with pytest.raises(MasterKeyError):
            use()
    assert (tmp_path / "master-key").read_text() == "short\n"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "master-key").mkdir()
    keys = MasterKeys(tmp_path)
    for use in (keys.first, lambda: keys.find("0123456789abcdef")):
        with pytest.raises(MasterKeyError, match="cannot be read"):
            use()


def test_given_keys_count_instead_of_the_file(tmp_path: Path) -> None:
    old, new = SecretStr("o" * 32), SecretStr("n" * 32)
    used = MasterKeys(tmp_path, [old]).first()
    both = MasterKeys(tmp_path, [new, old])
    assert both.find(used.id) == used
    assert both.next(used.id) == both.first() != used
    with pytest.raises(InvalidRequestError, match="NEW,OLD"):
        both.next(both.first().id)
    assert list(tmp_path.iterdir()) == []
