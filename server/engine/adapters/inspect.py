"""What an adapter's file is, as one line of JSON: `python -m server.engine.adapters.inspect FILE`.

A process of its own, since the HTTP process has no torch and foreign files are safer apart. The
header alone is read: whether an adapter fits is decided where its model is, when it is drawn with.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from server.domain.errors import AdapterError
from server.engine.adapters.alphas import Alphas
from server.engine.adapters.entries import entries_of
from server.engine.adapters.header import Header, opened
from server.engine.adapters.origin import family_of
from server.engine.adapters.plan import MAX_RANK

_MOST_FUSED = 4  # layers of a model in one of a file's: q, k, v and the next linear one of FLUX


def facts(path: Path) -> dict[str, object]:
    """Return the family, the largest rank and the number of layers of the adapter at `path`.

    Raises:
        AdapterError: it is no adapter that is drawn with here.
    """
    with opened(path) as file:
        header = file.header
    entries = entries_of(header.shapes)
    family = family_of(header.shapes)
    Alphas.of(header)  # says what is wrong with the file's own words
    rank = max(_rank(header, entry.keys["down"]) for entry in entries)
    return {"family": family.value, "rank": rank, "layers": len(entries)}


def _rank(header: Header, name: str) -> int:
    shape = header.shapes[name]
    rank = shape[0] if shape else 0
    if not 1 <= rank <= MAX_RANK * _MOST_FUSED:
        raise AdapterError(f"'{name[:120]}' has rank {rank}; from 1 to {MAX_RANK} are drawn with")
    return rank


def said(path: Path) -> dict[str, object]:
    """Return the facts, or what is wrong."""
    try:
        return facts(path)
    except AdapterError as error:
        return {"error": error.detail}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(said(Path(sys.argv[1]))) + "\n")
