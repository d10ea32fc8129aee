"""`greenroom chains`, without a running server."""

import json
from pathlib import Path

from tests.cli.running import greenroom


def test_a_chain_is_set_listed_and_forgotten(tmp_path: Path) -> None:
    done = greenroom("chains", "set", "sdxl-base", "scribble-xl", "turbo", data_dir=tmp_path)
    assert done.code == 0, done.err
    assert "scribble-xl, then turbo" in done.err
    listed = json.loads(greenroom("chains", "list", "--json", data_dir=tmp_path).out)
    assert listed[0] == {
        "model": "sdxl-base",
        "is_own": True,
        "members": [
            {"name": "scribble-xl", "kind": "local"},
            {"name": "turbo", "kind": "local"},
        ],
    }
    table = greenroom("chains", "list", data_dir=tmp_path).out
    assert "flux-schnell" in table  # of models.yaml
    assert greenroom("chains", "remove", "sdxl-base", data_dir=tmp_path).code == 0
    assert "sdxl-base" not in greenroom("chains", "list", data_dir=tmp_path).out


def test_a_name_that_is_nobody_is_told_with_a_remedy(tmp_path: Path) -> None:
    done = greenroom("chains", "set", "sdxl-base", "nobody", data_dir=tmp_path)
    assert done.code == 2
    assert "'nobody' is no model and no connection" in done.err
    assert "greenroom connections list" in done.err
