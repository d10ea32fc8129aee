"""The registry: everything the rest of the server knows of models."""

from __future__ import annotations

import asyncio
import difflib
from dataclasses import replace
from pathlib import Path

from server.domain.errors import (
    ConflictError,
    ModelNotFoundError,
    ModelUnavailableError,
    RegistryError,
)
from server.domain.models import EngineModel, ModelInfo, ModelState
from server.registry import manifest
from server.registry.catalog import Catalog, SoundEntry, build
from server.registry.download import Downloader
from server.registry.engine_models import engine_model
from server.registry.files import BrokenEntry, parse, read_file
from server.registry.hub import Hub
from server.registry.inspect import Found, Inspector
from server.registry.overlay import NAME as OVERLAY
from server.registry.overlay import Fields, Overlay, as_yaml, keep_pins, put_in, take_out
from server.registry.parameters import broken_info
from server.registry.places import BUNDLED_DIR, Places
from server.registry.pull import Progress, Puller

_WORST_FIRST = (ModelState.BROKEN, ModelState.UNPINNED, ModelState.MISSING)
_Stamp = tuple[tuple[int, int, int] | None, ...]


class Registry:
    """Reads both files, and again whenever one changes. A broken entry is listed, never raised.

    All but `pull`, `pin` and `check` only look at small files, so the event loop may call them.
    """

    def __init__(
        self,
        models_file: Path,
        data_dir: Path,
        *,
        models_dir: Path | None = None,
        hub_token: str | None = None,
        hub_endpoint: str | None = None,
        downloader: Downloader | None = None,
    ) -> None:
        """Read the files.

        Args:
            models_file: the models.yaml that comes with the program.
            data_dir: holds the person's own models.yaml.
            models_dir: for weights; None: the folder models in data_dir.
            hub_token: for gated models; None: HF_TOKEN.
            hub_endpoint: another hub than huggingface.co; None: HF_ENDPOINT.
            downloader: another patience with bad lines.
        """
        self._models_file = models_file
        self._overlay = Overlay(data_dir)
        self._places = Places(models_dir or data_dir / "models", BUNDLED_DIR)
        self._inspector = Inspector(self._places)
        downloader = downloader or Downloader()
        self._hub = Hub(downloader, token=hub_token, endpoint=hub_endpoint)
        self._puller = Puller(self._places, self._hub, downloader)
        self.reload()

    def reload(self) -> None:
        """Read both files afresh."""
        self._stamp = self._files_stamp()
        self._shipped = read_file(self._models_file, self._models_file.name, required=True)
        self._laid_over = read_file(self._overlay.path, OVERLAY, required=False)
        self._catalog = build(self._shipped, self._laid_over)

    @property
    def default(self) -> str:
        """Id of the model that draws where a request names none."""
        catalog = self._fresh()
        return catalog.aliases.get(catalog.default, catalog.default)

    def entries(self) -> tuple[SoundEntry, ...]:
        """Return the entries that are well formed."""
        models = self._fresh().models.values()
        return tuple(one for one in models if isinstance(one, SoundEntry))

    def broken(self) -> tuple[BrokenEntry, ...]:
        """Return the entries, and files, that cannot be used."""
        models = self._fresh().models.values()
        return tuple(one for one in models if isinstance(one, BrokenEntry))

    def infos(self) -> tuple[ModelInfo, ...]:
        """Return all models in order, broken ones too."""
        return tuple(self._info(model_id) for model_id in self._fresh().models)

    def info(self, id_or_alias: str | None) -> ModelInfo:
        """Return what a model declares.

        Raises:
            ModelNotFoundError: no such model; the message names near ones.
        """
        return self._info(self._id(id_or_alias))

    def fallback(self, model_id: str) -> tuple[str, ...]:
        """Return the chain that a model's entry names; whether its members are there is not said.

        Raises:
            ModelNotFoundError: no such model.
        """
        one = self._catalog.models[self._id(model_id)]
        return one.entry.fallback if isinstance(one, SoundEntry) else ()

    def has(self, id_or_alias: str) -> bool:
        """Return whether a model has this id or alias."""
        catalog = self._fresh()
        return id_or_alias in catalog.models or id_or_alias in catalog.aliases

    def status(self, model_id: str) -> tuple[ModelState, str | None]:
        """Return how far a model is from drawing, and why not and what to do.

        Raises:
            ModelNotFoundError: no such model.
        """
        model_id = self._id(model_id)
        one = self._catalog.models[model_id]
        if isinstance(one, BrokenEntry):
            return ModelState.BROKEN, one.reason
        if one.entry.unsupported:
            return ModelState.UNSUPPORTED, one.entry.unsupported
        looks = self._looks(one)
        for state in _WORST_FIRST:
            for found in looks:
                if found.state is state:
                    return state, f"{found.reason}{_remedy(state, model_id)}"
        return ModelState.READY, None

    def is_made_here(self, model_id: str) -> bool:
        """Return whether the model needs no download: random weights, made in seconds."""
        one = self._catalog.models[self._id(model_id)]
        return isinstance(one, SoundEntry) and all(s.random for s in one.sources)

    def engine_model(self, model_id: str) -> EngineModel:
        """Return what a worker needs to load a model.

        Raises:
            ModelNotFoundError: no such model.
            ModelUnavailableError: it is not ready; the message says what to do.
        """
        state, reason = self.status(model_id)
        if state is not ModelState.READY:
            raise ModelUnavailableError(f"model '{model_id}' is {state.value}: {reason}")
        one = self._sound(model_id)
        return engine_model(one.entry, self._looks(one))

    async def pull(self, model_id: str, progress: Progress) -> None:
        """Fetch or make all files of a model that are not here; cancelled, it goes on later.

        Args:
            model_id: id or alias.
            progress: is called with bytes done and bytes in all, None where unknown.

        Raises:
            ModelUnavailableError: broken, unpinned, gated or unreachable, with the remedy.
            ConflictError: another process fetches it.
            StorageFullError: it does not fit.
        """
        state, reason = self.status(model_id)
        if state not in (ModelState.READY, ModelState.MISSING):
            raise ModelUnavailableError(f"model '{model_id}' cannot be fetched: {reason}")
        await self._puller.pull(self._sound(model_id).sources, progress)
        state, reason = self.status(model_id)
        if state is not ModelState.READY:
            raise ModelUnavailableError(f"model '{model_id}' was fetched, but is {state}: {reason}")

    async def pin(self, model_id: str) -> dict[str, str]:
        """Ask the hub for the newest commit of each repo that models.yaml leaves open; keep it.

        Returns:
            The commits by repo; empty where the entry names them all itself.

        Raises:
            ModelUnavailableError: the hub does not tell.
            RegistryError: the data folder's models.yaml cannot be changed.
        """
        repos = self._sound(model_id).open_repos
        pins = {repo: await self._hub.commit(repo) for repo in repos}
        if pins:
            await asyncio.to_thread(self._overlay.change, lambda fields: keep_pins(fields, pins))
        return pins

    def add(self, entry: Fields) -> ModelInfo:
        """Add an entry to the data folder's models.yaml.

        Args:
            entry: keys and values as in models.yaml.

        Raises:
            ConflictError: its id is taken.
            RegistryError: something is wrong with it; the message says what.
        """
        catalog = self._fresh()
        model_id = str(entry.get("id"))
        if model_id in catalog.models:
            raise ConflictError(f"there is a model '{model_id}' already; choose another id")
        self._refuse_broken(entry)
        self._overlay.change(lambda fields: put_in(fields, entry))
        self.reload()
        return self.info(model_id)

    def remove(self, model_id: str, *, keep_entry: bool = False) -> int:
        """Remove a model: its pulled files unless another needs them, and its entry.

        Files that were brought, not pulled, stay.

        Returns:
            The bytes freed.

        Raises:
            ModelNotFoundError: no such model.
        """
        model_id = self._id(model_id)
        one = self._catalog.models[model_id]
        freed = 0
        if isinstance(one, SoundEntry):
            used = {s for e in self.entries() if e.entry.id != model_id for s in e.sources}
            freed = sum(self._puller.remove(s) for s in one.sources if s not in used)
        if not keep_entry:
            self._overlay.change(lambda fields: take_out(fields, model_id))
            self.reload()
        return freed

    async def check(self, model_id: str) -> tuple[str, ...]:
        """Read all files of a model again and compare them with their checksums.

        Returns:
            What is wrong, one line each; empty when all is well.
        """
        state, reason = self.status(model_id)
        if state is not ModelState.READY:
            return (f"{state.value}: {reason}",)
        one = self._sound(model_id)
        found: list[str] = []
        for source in one.sources:
            path = self._places.of(source)
            found += await asyncio.to_thread(manifest.damaged, path)
            self._inspector.forget(path)
        state, reason = self.status(model_id)
        return tuple(found) if state is ModelState.READY else (*found, str(reason))

    def _refuse_broken(self, entry: Fields) -> None:
        """Raise what would be wrong with `entry` once it stood in the file."""
        read = parse(as_yaml({"models": [entry]}), "the new entry")
        trial = build(self._shipped, replace(self._laid_over, entries=read.entries, broken=()))
        made = trial.models.get(str(entry.get("id")))
        for broken in (*read.broken, made):
            if isinstance(broken, BrokenEntry):
                raise RegistryError(broken.reason)

    def _fresh(self) -> Catalog:
        if self._files_stamp() != self._stamp:
            self.reload()
        return self._catalog

    def _files_stamp(self) -> _Stamp:
        return tuple(_stamp(path) for path in (self._models_file, self._overlay.path))

    def _id(self, id_or_alias: str | None) -> str:
        catalog = self._fresh()
        name = catalog.default if id_or_alias is None else id_or_alias
        name = name if name in catalog.models else catalog.aliases.get(name, name)
        if name in catalog.models:
            return name
        known = [*catalog.models, *catalog.aliases]
        near = difflib.get_close_matches(name, known, 3) or list(catalog.models)[:5]
        raise ModelNotFoundError(f"no model '{name}'; there is {', '.join(near) or 'none'}")

    def _info(self, model_id: str) -> ModelInfo:
        one = self._catalog.models[model_id]
        return one.info if isinstance(one, SoundEntry) else broken_info(model_id, one.reason)

    def _sound(self, model_id: str) -> SoundEntry:
        one = self._catalog.models[self._id(model_id)]
        if isinstance(one, BrokenEntry):
            raise ModelUnavailableError(one.reason)
        return one

    def _looks(self, one: SoundEntry) -> list[Found]:
        entry = one.entry
        return [
            self._inspector.look(source, entry.family, entry.task, is_part=index > 0)
            for index, source in enumerate(one.sources)
        ]


def _remedy(state: ModelState, model_id: str) -> str:
    if state is ModelState.UNPINNED:
        return f"; run `greenroom models pin {model_id}`"
    return f"; run `greenroom models pull {model_id}`" if state is ModelState.MISSING else ""


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
