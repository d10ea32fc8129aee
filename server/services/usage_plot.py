"""A usage report as a picture: pictures and money, day by day, as an SVG without scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from html import escape

from server.domain.money import MICROS
from server.services.usage_views import UsageLine, UsageView

_WIDTH, _PANEL, _LEFT, _TOP, _GAP = 800, 150, 80, 60, 60
_INK, _FAINT = "#333333", "#dddddd"
# Told apart with any kind of colour vision (Okabe and Ito); the last is for all other models.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
_OTHERS = "others"
Bars = Counter[tuple[date, str]]  # heights by day and model


def as_svg(report: UsageView) -> str:
    """Return bars for each day, stacked by model: pictures above, then money by currency."""
    days = [report.start + timedelta(n) for n in range((report.end - report.start).days + 1)]
    models = _models(report.items)
    panels = _panels(report.items, models)
    height = _TOP + len(panels) * (_PANEL + _GAP)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}">',
        f"<title>Usage from {report.start} to {report.end}, in UTC</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        *_legend(models),
    ]
    for number, (title, bars, unit) in enumerate(panels):
        drawn += _panel(title, bars, unit, days, models, top=_TOP + number * (_PANEL + _GAP))
    return "\n".join([*drawn, "</svg>", ""])


def _models(lines: Sequence[UsageLine]) -> list[str]:
    """Return the models with most pictures; if they are too many, the last stands for the rest."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts[line.model] += line.pictures
    most = sorted(counts, key=lambda model: (-counts[model], model))
    if len(most) <= len(_COLOURS):
        return most
    return [*most[: len(_COLOURS) - 1], _OTHERS]


def _panels(lines: Sequence[UsageLine], models: Sequence[str]) -> list[tuple[str, Bars, int]]:
    """Return title, bars and what one unit of the scale is: a picture, or a currency's unit."""
    pictures: Bars = Counter()
    money: dict[str, Bars] = {}
    for line in lines:
        place = (line.day, line.model if line.model in models else _OTHERS)
        pictures[place] += line.pictures
        if line.cost is not None:
            money.setdefault(line.cost.currency, Counter())[place] += line.cost.micros
    costs = [(f"Cost in {currency}", bars, MICROS) for currency, bars in sorted(money.items())]
    return [("Pictures", pictures, 1), *costs]


def _panel(
    title: str, bars: Bars, unit: int, days: Sequence[date], models: Sequence[str], *, top: int
) -> list[str]:
    bottom = top + _PANEL
    step = (_WIDTH - _LEFT - 20) / len(days)
    tallest = max((sum(bars[day, model] for model in models) for day in days), default=0)
    drawn = [
        _words(_LEFT, top - 8, title, "start"),
        _words(_LEFT - 8, top + 10, f"{tallest / unit:.6g}", "end"),
        _words(_LEFT - 8, bottom, "0", "end"),
        _line(top),
        _line(bottom),
        _words(_LEFT, bottom + 18, str(days[0]), "start"),
        _words(_WIDTH - 20, bottom + 18, str(days[-1]), "end"),
    ]
    for number, day in enumerate(days):
        edge = float(bottom)
        for model, colour in zip(models, _COLOURS, strict=False):
            tall = _PANEL * bars[day, model] / tallest if tallest else 0.0
            if tall > 0:
                edge -= tall
                drawn.append(
                    f'<rect x="{_LEFT + number * step + step * 0.1:.2f}" y="{edge:.2f}" '
                    f'width="{step * 0.8:.2f}" height="{tall:.2f}" fill="{colour}"/>'
                )
    return drawn


def _legend(models: Sequence[str]) -> list[str]:
    drawn: list[str] = []
    for number, (model, colour) in enumerate(zip(models, _COLOURS, strict=False)):
        left = _LEFT + number * 100
        drawn.append(f'<rect x="{left}" y="12" width="10" height="10" fill="{colour}"/>')
        drawn.append(_words(left + 14, 21, model[:13], "start"))
    return drawn


def _words(x: int, y: int, words: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(y: int) -> str:
    return f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{y}" y2="{y}" stroke="{_FAINT}"/>'
