"""The two files laid over each other: one ordered list of models, sound and broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from server.domain.models import ModelInfo
from server.registry.files import BrokenEntry, FoundEntry, ModelsFile, Where
from server.registry.parameters import model_info
from server.registry.rules import Complaint, complaints, is_commit
from server.registry.schema import ModelEntry, Sizes, SourceEntry, StyleEntry


@dataclass(frozen=True, slots=True)
class SoundEntry:
    """A model that can be used once its files are here. Revisions are the pinned ones."""

    entry: ModelEntry
    base: ModelEntry | None
    info: ModelInfo
    where: Where
    open_repos: tuple[str, ...]  # whose commit the files leave to `pin`

    @property
    def sources(self) -> tuple[SourceEntry, ...]:
        """The main source first, then the parts'."""
        below = () if self.base is None else self.base.sources()
        return (*below, *self.entry.sources())


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models by id, in order."""

    models: Mapping[str, SoundEntry | BrokenEntry]
    default: str
    aliases: Mapping[str, str]
    sizes: Mapping[str, Sizes]
    styles: Mapping[str, StyleEntry]


def build(shipped: ModelsFile, overlay: ModelsFile) -> Catalog:
    """Return the list that the two files make; nothing raises, what is wrong is listed broken.

    Args:
        shipped: models.yaml.
        overlay: the data folder's own, whose entries win.
    """
    sizes = {**shipped.head.sizes, **overlay.head.sizes}
    styles = {**shipped.head.styles, **overlay.head.styles}
    broken = [*shipped.broken, *overlay.broken]
    pins, wrong = _pins(overlay)
    broken += wrong
    found: dict[str, FoundEntry] = {}
    for file in (shipped, overlay):
        removed = overlay.head.removed if file is shipped else ()
        broken += _unique([f for f in file.entries if f.entry.id not in removed], found)
    shadowed = {entry.id for entry in overlay.broken}
    models: dict[str, SoundEntry | BrokenEntry] = {}
    for model_id, one in found.items():
        if model_id not in shadowed:
            models[model_id] = _checked(one, found, pins, sizes, styles)
    for entry in broken:
        models[_free(entry.id, models)] = entry
    named = overlay.head.default or shipped.head.default
    default = named if named and named not in overlay.head.removed else next(iter(models), "")
    aliases = {**shipped.head.aliases, **overlay.head.aliases}
    for entry in _loose_ends(shipped, overlay, default, aliases, models):
        models[_free(entry.id, models)] = entry
    return Catalog(models, default, aliases, sizes, styles)


def _unique(entries: Sequence[FoundEntry], found: dict[str, FoundEntry]) -> Iterator[BrokenEntry]:
    """Put one file's entries into `found`; those of an id it has twice come back broken."""
    mine: dict[str, FoundEntry] = {}
    for one in entries:
        first = mine.setdefault(one.entry.id, one)
        if first is not one:
            yield one.broken(
                [(("id",), f"id '{one.entry.id}' is taken at {first.place(('id',))}; rename one")]
            )
    found.update(mine)


def _checked(
    one: FoundEntry,
    found: Mapping[str, FoundEntry],
    pins: Mapping[str, str],
    sizes: Mapping[str, Sizes],
    styles: Mapping[str, StyleEntry],
) -> SoundEntry | BrokenEntry:
    wrong = [*complaints(one.entry, sizes, styles), *_references(one.entry, found)]
    if wrong:
        return one.broken(wrong)
    base = None if one.entry.base is None else _pinned(found[one.entry.base].entry, pins)
    if base is not None and any(True for _ in complaints(base, sizes, styles)):
        return one.broken([(("base",), f"its base '{base.id}' is broken; mend that entry")])
    written = [one.entry] if one.entry.base is None else [found[one.entry.base].entry, one.entry]
    sources = [source for entry in written for source in entry.sources()]
    return SoundEntry(
        _pinned(one.entry, pins),
        base,
        model_info(one.entry, sizes, styles),
        one.where,
        tuple(sorted({s.hub for s in sources if s.hub is not None and s.revision is None})),
    )


def _references(entry: ModelEntry, found: Mapping[str, FoundEntry]) -> Iterator[Complaint]:
    if entry.base is not None:
        base = found.get(entry.base)
        if base is None:
            yield ("base",), f"there is no model '{entry.base}'; name the id of another entry"
        elif base.entry.family != entry.family:
            yield ("base",), f"'{entry.base}' is {base.entry.family}, not {entry.family}"
        elif base.entry.task != entry.task:
            said = f"'{entry.base}' is of task {base.entry.task}, not {entry.task}; write its task"
            yield ("base",), said
        elif base.entry.source is None:
            yield ("base",), f"'{entry.base}' has a base itself; name that one and all parts"


def _pinned(entry: ModelEntry, pins: Mapping[str, str]) -> ModelEntry:
    def pin(source: SourceEntry) -> SourceEntry:
        if source.hub is None or source.revision is not None:
            return source
        return source.model_copy(update={"revision": pins.get(source.hub)})

    return entry.model_copy(
        update={
            "source": None if entry.source is None else pin(entry.source),
            "parts": tuple(
                part.model_copy(update={"source": pin(part.source)}) for part in entry.parts
            ),
        }
    )


def _pins(overlay: ModelsFile) -> tuple[dict[str, str], list[BrokenEntry]]:
    good = {repo: commit for repo, commit in overlay.head.pins.items() if is_commit(commit)}
    bad = [
        overlay.broken_head(
            ("pins", repo), f"'{commit}' is no whole commit hash; run `greenroom models pin` again"
        )
        for repo, commit in overlay.head.pins.items()
        if repo not in good
    ]
    return good, bad


def _loose_ends(
    shipped: ModelsFile,
    overlay: ModelsFile,
    default: str,
    aliases: Mapping[str, str],
    models: Mapping[str, object],
) -> list[BrokenEntry]:
    ends: list[BrokenEntry] = []
    owner = overlay if overlay.head.default else shipped
    if default == owner.head.default and default not in models and default not in aliases:
        ends.append(
            owner.broken_head(("default",), f"there is no model '{default}'; name one of the list")
        )
    for alias, target in aliases.items():
        file = overlay if alias in overlay.head.aliases else shipped
        if alias in models:
            ends.append(file.broken_head(("aliases", alias), f"'{alias}' is a model; rename it"))
        elif target not in models and target not in overlay.head.removed:
            said = f"there is no model '{target}'; remove the alias"
            ends.append(file.broken_head(("aliases", alias), said))
    return ends


def _free(model_id: str, taken: Mapping[str, object]) -> str:
    number, free = 2, model_id
    while free in taken:
        free, number = f"{model_id[:60]}.{number}", number + 1
    return free
