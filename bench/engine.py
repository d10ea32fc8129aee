"""The step engine against the bare pipeline, called for one request after the other.

Both draw the same requests in turn, in one run, in a process each, with one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

from bench import ticks
from bench.figures import Figure
from bench.rivals import Rival, pipeline, request, worker
from server.domain.images import ResolvedRequest
from server.domain.models import EngineModel, Family, ModelSource
from server.engine.schedulers import SCHEDULERS

STORYBOOK = Path("server/assets/storybook-xl")
_PROMPTS = ("a red cat", "a blue robot", "a green frog", "a teal bear", "a pink owl", "a fox")


def storybook() -> EngineModel:
    """Return the bundled model that draws."""
    return EngineModel(
        id="storybook-xl",
        family=Family.SDXL,
        source=ModelSource(kind="folder", path=str(STORYBOOK.resolve())),
        fingerprint="bench",
        scheduler=None,
        distilled_guidance=False,
    )


async def measure(scratch: Path, rounds: int = 9) -> tuple[Figure, ...]:
    """Return all figures."""
    model = storybook()
    async with worker(model) as ours, pipeline(STORYBOOK, scratch, 1) as bare:
        compared = Compared(ours, bare, rounds)
        for rival in (ours, bare):
            await rival.draw([request(model, 64)] * 3)
        await ours.draw(mixed(model) * 2)  # the curve of rows is measured in the first requests
        await ours.draw([request(model, 64, num_inference_steps=40)] * 8)
        return (
            await compared.one(request(model, 64)),
            await compared.many("eight mixed requests", mixed(model)),
            await compared.short(request(model, 64, num_inference_steps=4), long(model)),
            *await compared.equal([request(model, 64, seed=seed) for seed in range(8)]),
            *(
                ticks.measure(model, request(model, 64, num_inference_steps=60), pictures)
                for pictures in (1, 4)
            ),
        )


def mixed(model: EngineModel) -> list[ResolvedRequest]:
    """Return eight requests that share nothing but the model and the size."""
    names = [None, *SCHEDULERS[Family.SDXL]]
    return [
        request(
            model,
            64,
            prompt=_PROMPTS[number % len(_PROMPTS)],
            seed=number,
            scheduler=names[number],
            num_inference_steps=12 + 2 * number,
            guidance_scale=(1.0, 3.0, 5.0)[number % 3],
        )
        for number in range(8)
    ]


def long(model: EngineModel) -> list[ResolvedRequest]:
    """Return seven requests of fifty steps."""
    return [request(model, 64, seed=seed, num_inference_steps=50) for seed in range(7)]


class Compared:
    """Runs both rivals in turn and compares medians."""

    def __init__(self, ours: Rival, bare: Rival, rounds: int) -> None:
        self._ours = ours
        self._bare = bare
        self._rounds = rounds

    async def one(self, asked: ResolvedRequest) -> Figure:
        """How fast one request alone is, as a ratio to the pipeline."""
        ours, bare = await self._runs([asked], self._rounds * 3)
        return _ratio(
            "one request, speed against the pipeline",
            median(run[0] for run in bare) / median(run[0] for run in ours),
            0.97,
            {"ms": 1000 * median(run[0] for run in ours)},
        )

    async def many(self, what: str, asked: Sequence[ResolvedRequest]) -> Figure:
        """How many pictures a second come of requests that arrive together."""
        ours, bare = await self._runs(asked, self._rounds)
        ratio = median(max(run) for run in bare) / median(max(run) for run in ours)
        rate = len(asked) / median(max(run) for run in ours)
        return _ratio(f"{what}, pictures a second", ratio, 1.3, {"pictures a second": rate})

    async def short(self, short: ResolvedRequest, long: Sequence[ResolvedRequest]) -> Figure:
        """How much sooner a short request behind long ones is done."""
        ours, bare = await self._runs([*long, short], self._rounds)
        ratio = median(run[-1] for run in bare) / median(run[-1] for run in ours)
        mine = 1000 * median(run[-1] for run in ours)
        return _ratio("4 steps behind seven times 50, sooner", ratio, 3.0, {"ms": mine})

    async def equal(self, asked: Sequence[ResolvedRequest]) -> tuple[Figure, ...]:
        """Mean and 95th percentile of completion of equal requests."""
        ours, bare = await self._runs(asked, self._rounds)
        figures = []
        for name, value in (("mean", mean), ("95th percentile", _late)):
            ratio = median(value(run) for run in bare) / median(value(run) for run in ours)
            figures.append(_ratio(f"eight equal requests, {name} of completion", ratio, 1.0, {}))
        return tuple(figures)

    async def _runs(
        self, asked: Sequence[ResolvedRequest], rounds: int
    ) -> tuple[list[list[float]], list[list[float]]]:
        ours, bare = [], []
        for _ in range(rounds):
            ours.append(await self._ours.draw(asked))
            bare.append(await self._bare.draw(asked))
        return ours, bare


def _late(done: Sequence[float]) -> float:
    return sorted(done)[round(0.95 * (len(done) - 1))]


def _ratio(what: str, value: float, goal: float, detail: dict[str, float]) -> Figure:
    rounded = {name: round(number, 1) for name, number in detail.items()}
    return Figure(
        what=what,
        value=round(value, 2),
        unit="x",
        goal=goal,
        detail=rounded,
        more_is_better=True,
    )
