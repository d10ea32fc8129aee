"""Settings for commands: a wrong value becomes one line that names its variable."""

from __future__ import annotations

import tempfile
import tomllib
from typing import TYPE_CHECKING

from server.cli.console import USAGE, CommandError, notes

if TYPE_CHECKING:
    from pydantic import ValidationError

    from server.settings import Settings


def read_settings() -> Settings:
    """Return the settings and remark on GREENROOM_* variables that mean nothing.

    Raises:
        CommandError: a value is wrong, or the TOML file is missing or damaged.
    """
    from pydantic import ValidationError

    from server.settings import load_settings, unknown_variables

    try:
        settings = load_settings()
    except ValidationError as error:
        raise CommandError(_said(error), exit_code=USAGE) from error
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"GREENROOM_CONFIG is not TOML: {error}", exit_code=USAGE) from error
    except OSError as error:
        raise CommandError(str(error), exit_code=USAGE) from error
    for name in unknown_variables():
        notes().print(f"{name} is no setting and changes nothing; see docs/settings.md")
    return settings


def make_data_dir(settings: Settings) -> None:
    """Make the data folder and prove that it takes files.

    Raises:
        CommandError: it does not.
    """
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data_dir):
            pass
    except OSError as error:
        raise CommandError(
            f"cannot write to the data folder {settings.data_dir}: {error.strerror}; "
            "set GREENROOM_DATA_DIR to a folder of yours"
        ) from error


def _said(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        lines.append(f"GREENROOM_{name.upper()}: {problem['msg']}")
    return "; ".join(lines)
