"""docs/settings.md out of Settings; `python -m tests.house.settings_page` writes it anew."""

from __future__ import annotations

import types
import typing
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from server.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

_HEAD = """# Settings

A setting is a variable, such as `GREENROOM_PORT=9000`, or a line of the TOML file that
`GREENROOM_CONFIG` names, such as `port = 9000`. A variable wins over the file. A value that is
wrong ends the start with one line that names it. A test compares the table with the code.

| variable | default | what it does |
|---|---|---|
"""

_TAIL = """
Three more are not settings of the server:

| variable | for |
|---|---|
| `GREENROOM_CONFIG` | the TOML file with settings |
| `GREENROOM_URL` | the server that `greenroom generate` uses; absent: the one that runs here |
| `GREENROOM_KEY` | the key it uses there |
"""

_COMPUTED = {
    "data_dir": "`~/.local/share/greenroom`",
    "models": "the program's own",
}


def page() -> str:
    """The whole page."""
    rows = (_row(name, field) for name, field in Settings.model_fields.items())
    return _HEAD + "".join(rows) + _TAIL


def _row(name: str, field: FieldInfo) -> str:
    secret = "; secret" if SecretStr in _types(field.annotation) else ""
    return (
        f"| `GREENROOM_{name.upper()}` | {_default(name, field)} | {field.description}{secret} |\n"
    )


def _default(name: str, field: FieldInfo) -> str:
    if name in _COMPUTED:
        return _COMPUTED[name]
    value = field.default
    if value is None or value == ():
        return ""
    return f"`{','.join(value) if isinstance(value, tuple) else value}`"


def _types(annotation: object) -> tuple[object, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


if __name__ == "__main__":
    PAGE.write_text(page())
