"""The models.yaml in the data folder: what the person here added, pinned or removed."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from server.domain.errors import RegistryError
from server.registry.disk import storage_errors, write_whole
from server.registry.nodes import Value, YamlFormError, plain, read

NAME = "DATA_DIR/models.yaml"
_HEADING = (
    "# Written by `greenroom models add`, `pin` and `remove`; laid over the models.yaml that\n"
    "# comes with Greenroom. You may edit it: entries of the same id win over that file's.\n"
)

Fields = dict[str, Value]


class Overlay:
    """The file, changed one step at a time; comments other than its heading are not kept."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "models.yaml"

    def change(self, edit: Callable[[Fields], None]) -> None:
        """Read the file, let `edit` change its fields, and write it whole.

        Raises:
            RegistryError: it is no YAML, so a change would lose what stands there.
        """
        with self._locked():
            fields = self._read()
            edit(fields)
            write_whole(self.path, _HEADING.encode() + as_yaml(fields))

    def _read(self) -> Fields:
        try:
            value = read(self.path.read_bytes()).value
        except FileNotFoundError:
            return {}
        except YamlFormError as error:
            raise RegistryError(
                f"{NAME}:{error.line}: {error.detail}; mend the file before changing models"
            ) from error
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise RegistryError(f"{NAME}:1: the file must be keys and values; mend it first")
        return value

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with storage_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = self.path.with_name(".models.yaml.lock").open("w")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def as_yaml(fields: Fields) -> bytes:
    """Return fields as text that `nodes.read` reads back as the same."""
    text = yaml.dump(fields, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return str(text).encode()


def put_in(fields: Fields, entry: Fields) -> None:
    """Add an entry; one that was marked removed is so no longer."""
    models = fields.get("models")
    fields["models"] = [*(models if isinstance(models, list) else []), dict(entry)]
    removed = fields.get("removed")
    if isinstance(removed, list):
        fields["removed"] = [name for name in removed if name != entry.get("id")]


def take_out(fields: Fields, model_id: str) -> None:
    """Remove an entry, and mark one that came with the program as removed."""
    models = fields.get("models")
    if isinstance(models, list):
        fields["models"] = [
            one for one in models if not (isinstance(one, dict) and one.get("id") == model_id)
        ]
    removed = fields.get("removed")
    known = removed if isinstance(removed, list) else []
    fields["removed"] = known if model_id in known else [*known, model_id]


def keep_pins(fields: Fields, pins: Mapping[str, str]) -> None:
    """Write down which commit of each repo is meant."""
    kept = fields.get("pins")
    fields["pins"] = {**(kept if isinstance(kept, dict) else {}), **pins}


class _Dumper(yaml.SafeDumper):
    """Quotes every word that our reader would otherwise take for a number or a truth value."""

    def ignore_aliases(self, data: object) -> bool:
        """Write equal values out twice; our reader takes no anchors."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    is_safe = text.isprintable() and isinstance(plain(text), str)
    style = None if is_safe else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
