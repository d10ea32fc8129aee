"""The GPU bench with small networks: every part runs, is kept, and is not measured twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu_table import Report, write_table


def bench(out: Path, *more: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own interpreter and words
        [sys.executable, "-m", "bench.gpu", "--small", "--out", str(out), *more],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def test_it_needs_nothing_of_the_server_that_a_bare_gpu_machine_lacks() -> None:
    code = (
        "import sys, bench.gpu; "
        "lacking = {'fastapi', 'uvicorn', 'sqlalchemy', 'structlog', 'typer', 'obstore'}; "
        "found = lacking & {name.partition('.')[0] for name in sys.modules}; "
        "sys.exit(f'imported {found}' if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603


@pytest.mark.slow
def test_every_part_is_measured_once_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    parts = ["single", "equality", "rows", "loop"]
    first = bench(out, "--families", "sdxl", "--parts", *parts[:2])
    assert "sdxl single" in first
    bench(out, "--parts", *parts)
    report = Report.model_validate_json(out.read_text())
    assert [(part.family.value, part.name) for part in report.parts] == [
        (family, part) for family in ("sdxl", "flux") for part in parts
    ]
    assert all(part.figures and part.trouble is None for part in report.parts)
    assert "Building" not in bench(out, "--parts", *parts)
    page = tmp_path / "page.md"
    write_table(report, page)
    assert page.read_text().count("| 1.1 x the pipeline's") == 6
