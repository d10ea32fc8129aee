"""Draws a run's log as a picture: one curve for each number that it holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

WIDTH, HEIGHT, MARGIN = 640, 200, 28
LINE = (52, 100, 214)
TEXT = (60, 60, 70)
GRID = (220, 220, 226)
UNPLOTTED = {"step", "seconds_per_step"}


def plot_log(log: Path) -> Image.Image:
    """Return the curves of a log of JSON lines, one below the other, against steps.

    Raises:
        ValueError: the log has no line yet.
    """
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    if not lines:
        raise ValueError("the log is empty; plot it after its first line")
    names = [name for name in lines[0] if name not in UNPLOTTED]
    page = Image.new("RGB", (WIDTH, HEIGHT * len(names)), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    steps = [line["step"] for line in lines]
    for row, name in enumerate(names):
        _curve(draw, row * HEIGHT, name, steps, [line[name] for line in lines])
    return page


def _curve(
    draw: ImageDraw.ImageDraw,
    top: int,
    name: str,
    steps: Sequence[float],
    values: Sequence[float],
) -> None:
    low, high = min(values), max(values)
    across = (WIDTH - 2 * MARGIN) / max(1.0, steps[-1] - steps[0])
    up = (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)
    bottom = top + HEIGHT - MARGIN
    draw.rectangle((MARGIN, top + MARGIN, WIDTH - MARGIN, bottom), outline=GRID)
    points = [
        (MARGIN + (step - steps[0]) * across, bottom - (value - low) * up)
        for step, value in zip(steps, values, strict=True)
    ]
    draw.line(points, fill=LINE, width=2, joint="curve")
    said = (
        f"{name}: {low:.4g} to {high:.4g}, last {values[-1]:.4g}; steps {steps[0]} to {steps[-1]}"
    )
    draw.text((MARGIN, top + 8), said, fill=TEXT)
