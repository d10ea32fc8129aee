"""Fetching what an entry lacks: hub files, a URL, or small random weights made here."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.domain.errors import ModelUnavailableError
from server.registry import manifest
from server.registry.disk import storage_errors
from server.registry.download import DeniedError, Downloader, GoneError, Wanted
from server.registry.hub import Hub, HubFile, needed
from server.registry.manifest import Manifest
from server.registry.places import Places
from server.registry.rules import source_kind
from server.registry.schema import SourceEntry

Progress = Callable[[int, int | None], None]
_ROOT = Path(__file__).parents[2]  # where `server` is imported from


@dataclass(frozen=True, slots=True)
class _HubPull:
    source: SourceEntry
    files: tuple[HubFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class Puller:
    """Brings sources to their places."""

    def __init__(self, places: Places, hub: Hub, downloader: Downloader) -> None:
        self._places = places
        self._hub = hub
        self._downloader = downloader

    async def pull(self, sources: Sequence[SourceEntry], progress: Progress) -> None:
        """Bring all of `sources`; what is cut off here goes on at the next call.

        Args:
            sources: pinned; local ones are left alone.
            progress: is called with the bytes done and the bytes in all, None where unknown.

        Raises:
            ModelUnavailableError: it cannot be fetched; the message says what to do.
            ConflictError: another process fetches it.
            StorageFullError, StorageUnavailableError: the disk refuses.
        """
        hub = [await self._plan(source) for source in sources if source.hub]
        total: int | None = sum(pull.size_bytes for pull in hub)
        done = 0
        for source in sources:
            if source.random is not None:
                await self._make(source)
            elif source.url is not None:
                total = None
                await self._fetch(source, _onwards(progress, done, None))
        for pull in hub:
            await self._hub_pull(pull, _onwards(progress, done, total))
            done += pull.size_bytes

    def remove(self, source: SourceEntry) -> int:
        """Delete what was pulled for `source`; return the bytes freed. Brought files stay."""
        if source_kind(source) not in ("hub", "url", "random"):
            return 0
        if source.hub is not None and source.revision is None:
            return 0
        path = self._places.of(source)
        with storage_errors():
            freed = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
            freed += path.stat().st_size if path.is_file() else 0
            manifest.forget(path)
            if path.is_dir():
                shutil.rmtree(path)
            for file in (path, path.with_name(f"{path.name}.part")):
                file.unlink(missing_ok=True)
        return freed

    async def _plan(self, source: SourceEntry) -> _HubPull:
        repo, commit = str(source.hub), str(source.revision)
        known = manifest.load(self._places.of(source))
        if known is not None and manifest.missing(self._places.of(source), known) is None:
            return _HubPull(source, ())
        files = await self._hub.files(repo, commit)
        if source.file is None:
            return _HubPull(source, needed(files, source.variant))
        chosen = tuple(file for file in files if file.path == source.file)
        if not chosen:
            raise ModelUnavailableError(f"'{repo}' has no file '{source.file}'; check its name")
        return _HubPull(source, chosen)

    async def _hub_pull(self, pull: _HubPull, progress: Callable[[int], None]) -> None:
        if not pull.files:
            return
        source, target = pull.source, self._places.of(pull.source)
        root = target
        for _ in Path(source.file or "").parts:
            root = root.parent
        with storage_errors():
            root.mkdir(parents=True, exist_ok=True)
        got = await self._hub.pull(
            str(source.hub), str(source.revision), pull.files, root, progress
        )
        if source.file is not None:
            got = got.model_copy(
                update={"files": (got.files[0].model_copy(update={"path": target.name}),)}
            )
        await asyncio.to_thread(manifest.save, target, got)

    async def _fetch(self, source: SourceEntry, progress: Callable[[int], None]) -> None:
        target = self._places.of(source)
        url = str(source.url)
        name = url.rsplit("/", 1)[-1].split("?")[0]
        try:
            got = await self._downloader.fetch(
                Wanted(url, target, name, sha256=source.sha256), progress
            )
        except DeniedError as error:
            raise ModelUnavailableError(
                f"'{name}' needs a sign-in there; fetch it in a browser and add the file"
            ) from error
        except GoneError as error:
            raise ModelUnavailableError(f"'{name}' is gone from there; mend the entry") from error
        manifest.save(target, Manifest(origin=url, files=(got,)))

    async def _make(self, source: SourceEntry) -> None:
        """Make small random weights in a process of its own: this one stays free of torch."""
        target = self._places.of(source)
        if target.exists():
            return
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.engine.tiny", str(source.random), str(target)),
            cwd=_ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, said = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            last = said.decode(errors="replace").strip().splitlines()[-1:]
            kind = last[0].split(":")[0] if last else f"exit code {process.returncode}"
            raise ModelUnavailableError(
                f"the small {source.random} model could not be made ({kind}); "
                f"see `python -m server.engine.tiny {source.random} FOLDER`"
            )


def _onwards(progress: Progress, before: int, total: int | None) -> Callable[[int], None]:
    return lambda size: progress(before + size, total)
