"""The bench of plans: it tells exact from near, says what does not run, and keeps prose."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch

from bench.figures import this_machine
from bench.profiles import Technique, measure
from bench.profiles_models import Subject, small_subjects
from bench.profiles_table import MARK, Row, Run, write_section
from server.domain.models import Family


@functools.cache
def rows(family: Family) -> dict[str, Row]:
    """Return what is measured with one request of two steps."""
    subject = next(one for one in small_subjects() if one.family is family)
    values = {"num_inference_steps": 2, "width": 64, "height": 64}
    asked = subject.requests[0].model_copy(update=values)
    short = Subject(subject.name, family, subject.build, (asked,))
    torch.set_num_threads(1)
    with torch.inference_mode():
        found = list(measure(short, torch.device("cpu")))
    return {row.technique: row for row in found}


@pytest.mark.slow
@pytest.mark.parametrize("family", [Family.SDXL, Family.FLUX])
def test_streaming_is_exact_and_int8_is_near(family: Family) -> None:
    found = rows(family)
    (streamed,) = (r for name, r in found.items() if "streamed" in name and "int8" not in name)
    assert (streamed.latents_error, streamed.psnr_db) == (0, None)
    near = found["int8"]
    assert near.latents_error is not None
    assert 0 < near.latents_error < 0.05
    assert near.network_mib is not None
    assert found["exact"].network_mib is not None
    assert near.network_mib < 0.9 * found["exact"].network_mib


@pytest.mark.slow
def test_what_needs_a_card_is_told_and_not_measured() -> None:
    for name in ("fp8", "nf4"):
        row = rows(Family.SDXL)[name]
        assert row.seconds is None
        assert "CUDA" in (row.reason or "")


def test_the_page_keeps_what_stands_above_the_figures(tmp_path: Path) -> None:
    page = tmp_path / "profiles.md"
    page.write_text(f"# Plans\n\nProse.\n\n{MARK}\nold figures\n")
    row = Row.without("A model", Technique.__name__, "no card")
    run = Run.of(this_machine("a processor", 0.0), (row,))
    (tmp_path / "one.json").write_text(run.model_dump_json())
    for _ in range(2):
        write_section(page, tmp_path)
        text = page.read_text()
        assert text.startswith(f"# Plans\n\nProse.\n\n{MARK}")
        assert "old figures" not in text
        assert text.count("not here: no card") == 1
