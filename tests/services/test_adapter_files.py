"""Files of adapters: whole or not there, and nothing is left of an upload that was killed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.domain.errors import NotFoundError
from server.services.adapter_files import AdapterFiles, measure


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def test_a_file_is_kept_under_its_hash_and_dropped(tmp_path: Path) -> None:
    files = AdapterFiles(tmp_path)
    async with files.staged(pieces(b"one", b"two")) as fresh:
        sha256, size_bytes = measure(fresh)
        await files.keep(fresh, sha256)
    assert size_bytes == 6
    assert files.path(sha256).read_bytes() == b"onetwo"
    assert [path.name for path in (tmp_path / "adapters").iterdir()] == [f"{sha256}.safetensors"]
    files.drop(sha256)
    with pytest.raises(NotFoundError, match="was removed"):
        files.path(sha256)


async def test_what_is_not_kept_is_gone(tmp_path: Path) -> None:
    async with AdapterFiles(tmp_path).staged(pieces(b"one")):
        pass
    assert list((tmp_path / "adapters").iterdir()) == []


async def test_a_start_sweeps_what_a_kill_left(tmp_path: Path) -> None:
    files = AdapterFiles(tmp_path)
    files.sweep()  # without a folder, too
    async with files.staged(pieces(b"one")) as fresh:
        await files.keep(fresh, "aa")
        fresh.write_bytes(b"left by another process")
        files.sweep()
        assert [path.name for path in (tmp_path / "adapters").iterdir()] == ["aa.safetensors"]
