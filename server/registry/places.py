"""Where weights lie on this machine. Names are looked up inside a folder and never lead out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from server.registry.rules import source_kind
from server.registry.schema import SourceEntry

SDXL_CONFIG = Path(__file__).parent / "configs" / "sdxl"
BUNDLED_DIR = Path(__file__).parents[1]  # the package, which lies alike in a checkout and a wheel


class OutsideError(Exception):
    """A name leads out of the folder that it belongs to; the message has no path."""


@dataclass(frozen=True, slots=True)
class Places:
    """The folders that names are resolved against.

    `models_dir` holds everything that was pulled or brought; `bundled_dir` what came with us.
    """

    models_dir: Path
    bundled_dir: Path

    def of(self, source: SourceEntry) -> Path:
        """Return the file or folder of `source`, whether or not it is there.

        Raises:
            OutsideError: it would lie outside of its folder.
            ValueError: a hub source that has no revision yet.
        """
        kind = source_kind(source)
        if kind == "hub":
            return self._hub(source)
        if kind == "url":
            return self.inside(self.models_dir, f"url/{source.sha256}.safetensors")
        if kind == "random":
            return self.inside(self.models_dir, f"random/{source.random}")
        if kind == "bundled":
            return self.inside(self.bundled_dir, str(source.bundled))
        return self.local(str(source.folder or source.single_file))

    def local(self, name: str) -> Path:
        """Return a path that the owner of this machine wrote: absolute, or inside models_dir.

        Raises:
            OutsideError: a relative one leads out, by `..` or through a link.
        """
        path = Path(name).expanduser()
        return path.resolve() if path.is_absolute() else self.inside(self.models_dir, name)

    @staticmethod
    def inside(folder: Path, name: str) -> Path:
        """Return `name` in `folder`.

        Raises:
            OutsideError: it leads out, by `..` or through a link, or is no name.
        """
        home = folder.resolve()
        try:
            path = (home / name).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise OutsideError(f"'{name}' is no name of a file") from error
        if not path.is_relative_to(home) or path == home:
            raise OutsideError(
                f"'{name}' leads out of its folder; put the file itself there, not a link, "
                "or name it by its whole path in models.yaml"
            )
        return path

    def _hub(self, source: SourceEntry) -> Path:
        if source.revision is None:
            raise ValueError("no revision")
        folder = str(source.hub).replace("/", "--")
        revision = (
            source.revision
            if source.file or not source.variant
            else (f"{source.revision}-{source.variant}")
        )
        name = f"hub/{folder}/{revision}"
        return self.inside(self.models_dir, f"{name}/{source.file}" if source.file else name)
