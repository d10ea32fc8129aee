"""Where pictures go: names, formats, and never over somebody's file unasked."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from server.cli.console import USAGE, CommandError

_FORMATS = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg"}


def format_for(output: Path | None, asked: str | None) -> str | None:
    """Return the format that a name and --format agree on; None where neither says.

    Raises:
        CommandError: the name's ending is unknown, or the two differ.
    """
    if output is None or output.is_dir():
        return asked
    by_name = _FORMATS.get(output.suffix.lower())
    if by_name is None:
        raise CommandError(f"'{output.name}' should end in .png, .webp or .jpg", exit_code=USAGE)
    if asked is not None and asked != by_name:
        raise CommandError(
            f"'{output.name}' is a {by_name} by its name, but --format says {asked}; "
            "leave one of them out",
            exit_code=USAGE,
        )
    return by_name


def check_folder(output: Path | None) -> None:
    """Refuse a folder that is not there, before anything is drawn.

    Raises:
        CommandError: there is no such folder.
    """
    folder = Path() if output is None else output if output.is_dir() else output.parent
    if not folder.is_dir():
        raise CommandError(f"there is no folder '{folder}'; make it first", exit_code=USAGE)


def target(output: Path | None, seed: int, file_format: str) -> Path:
    """Return the file that was meant, named after the seed where only a folder was."""
    if output is not None and not output.is_dir():
        return output
    name = f"greenroom-{seed}{'.jpg' if file_format == 'jpeg' else '.' + file_format}"
    return name_in(output, name)


def name_in(folder: Path | None, name: str) -> Path:
    """Return `name` inside `folder`, or in the working folder."""
    return Path(name) if folder is None else folder / name


def save(data: bytes, meant: Path, index: int, *, force: bool) -> Path:
    """Write picture `index` and return its file.

    `meant` names the first picture, `-2` behind its stem the second, and so on. Without `force`
    a name that is taken is skipped for the next number.

    Raises:
        CommandError: the disk or the folder does not take it.
    """
    for number in count(index + 1):
        path = meant if number == 1 else meant.with_stem(f"{meant.stem}-{number}")
        try:
            _write(path, data, "wb" if force else "xb")
        except FileExistsError:
            continue
        except OSError as error:
            raise CommandError(f"cannot write {path}: {error.strerror}") from error
        return path
    raise AssertionError("count() has no end")


def _write(path: Path, data: bytes, mode: str) -> None:
    with path.open(mode) as file:
        try:
            file.write(data)
            file.flush()
        except OSError:
            if path.is_file():  # not a device
                path.unlink()  # half a picture is worse than none
            raise
