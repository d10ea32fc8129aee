"""What is measured on a GPU: one picture, rows, equality, compiled networks."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from bench.figures import Figure
from bench.gpu_models import Built
from server.domain.images import ImageFormat, ResolvedRequest
from server.domain.models import Family
from server.engine import schedulers
from server.engine.families.base import FamilyPipeline, Pictures, Trajectory


@dataclass(frozen=True)
class Settings:
    """How much is drawn of a family; floors are for one H200, by arithmetic alone."""

    sizes: tuple[int, ...]
    steps: int
    guidance: float
    rounds: int
    most_rows: int
    floor_seconds: dict[int, float]
    goal_seconds: float | None

    @classmethod
    def of(cls, family: Family, small: bool) -> Settings:  # noqa: FBT001 - as the option says it
        """Return what is drawn of `family`: 1024 and 512 pixels, or nearly nothing."""
        if small:
            return cls((64,), 4, 3.0, 2, 2, {}, None)
        if family is Family.FLUX:
            return cls((1024, 512), 28, 3.5, 3, 8, {1024: 2.66}, 3.3)
        return cls((1024, 512), 30, 5.0, 3, 8, {1024: 0.527}, 0.75)


def request(settings: Settings, size: int, **values: Any) -> ResolvedRequest:  # noqa: ANN401
    """Return a request with every value set."""
    return ResolvedRequest.model_validate(
        {
            "model": "random",
            "prompt": "a red fox in the snow",
            "negative_prompt": None,
            "width": size,
            "height": size,
            "num_images": 1,
            "seed": 1,
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
            "true_cfg_scale": None,
            "scheduler": None,
            "max_sequence_length": None,
            "image": None,
            "strength": None,
            "format": ImageFormat.PNG,
        }
        | values
    )


def single(built: Built, settings: Settings) -> Iterator[Figure]:
    """Time one picture, from its words to its pixels, against the pipeline."""
    for size in settings.sizes:
        yield _picture(built, settings, size, "")


def compiled(built: Built, settings: Settings) -> Iterator[Figure]:
    """The same with the network compiled: both ways run the same compiled code."""
    started = time.perf_counter()
    if built.family is Family.FLUX:
        built.pipeline.transformer.compile_repeated_blocks(fullgraph=True)
    else:
        built.pipeline.unet.to(memory_format=torch.channels_last)
        built.network.compile(fullgraph=True)
    size = settings.sizes[0]
    draw_by_steps(built.drawn_by_steps(), request(settings, size, num_inference_steps=2))
    _sync(built)
    yield Figure(
        what=f"{built.family.value} {size}: compiling, first picture of 2 steps",
        value=round(time.perf_counter() - started, 1),
        unit="s",
        goal=None,
        detail={},
    )
    yield _picture(built, settings, size, ", compiled")


def rows_against_time(built: Built, settings: Settings) -> Iterator[Figure]:
    """Time one step of 1 to 8 pictures in one forward."""
    family = built.drawn_by_steps()
    for size in settings.sizes:
        for count in range(1, settings.most_rows + 1):
            rows = [
                _begin(family, request(settings, size, seed=seed, guidance_scale=1.0))
                for seed in range(count)
            ]
            seconds = _seconds(built, functools.partial(family.predict, rows), 5)
            yield Figure(
                what=f"{built.family.value} {size}: a forward of {count} rows",
                value=round(seconds * 1000, 2),
                unit="ms",
                goal=None,
                detail={"per row, ms": round(seconds * 1000 / count, 2), "peak GiB": _peak()},
            )


def equality(built: Built, settings: Settings) -> Iterator[Figure]:
    """Compare our latents and the pipeline's, both in bf16, with fp32 ones of the same weights."""
    size = settings.sizes[-1]
    steps = min(8, settings.steps)
    asked = [
        request(settings, size, seed=seed, num_inference_steps=steps + seed) for seed in range(3)
    ]
    family = built.drawn_by_steps()
    rows = [_begin(family, one) for one in asked]
    noises = [_noise(row) for row in rows]
    _finish(family, rows)
    usual = built.pipeline.dtype
    pairs = list(zip(asked, noises, strict=True))
    theirs = [_pipeline_latents(built, *pair, usual) for pair in pairs]
    built.network.to(torch.float32)  # each bf16 number is an fp32 one
    exact = [_pipeline_latents(built, *pair, torch.float32) for pair in pairs]
    built.network.to(usual)
    for number, (row, other, true) in enumerate(zip(rows, theirs, exact, strict=True)):
        mine_off, other_off = (_off(latents, true) for latents in (row.latents, other))
        yield Figure(
            what=f"{built.family.value} {size}: error of picture {number + 1} of 3 in one forward",
            value=round(mine_off / max(other_off, 1e-6), 3),
            unit="x the pipeline's",
            goal=1.1,
            detail={"ours": round(mine_off, 6), "the pipeline's": round(other_off, 6)},
        )


def _off(latents: torch.Tensor, true: torch.Tensor) -> float:
    """Return the root mean square difference in parts of the deviation."""
    return ((latents.float() - true).square().mean().sqrt() / true.std()).item()


def _noise(row: Trajectory) -> torch.Tensor:
    """Return what a pipeline takes as `latents`: it scales them itself."""
    return row.latents / getattr(row.scheduler, "init_noise_sigma", 1.0)


def _picture(built: Built, settings: Settings, size: int, said: str) -> Figure:
    family = built.drawn_by_steps()
    asked = [request(settings, size, seed=n, prompt=f"a fox {n}") for n in range(settings.rounds)]
    draw_by_steps(family, request(settings, size, num_inference_steps=2))
    _theirs(built, request(settings, size, num_inference_steps=2))
    mine, other = [], []
    for one in asked:
        mine.append(_seconds(built, functools.partial(draw_by_steps, family, one), 1))
        other.append(_seconds(built, functools.partial(_theirs, built, one), 1))
    return Figure(
        what=f"{built.family.value} {size}: {settings.steps} steps{said}, words to pixels",
        value=round(median(mine), 3),
        unit="s",
        goal=settings.goal_seconds if size == settings.sizes[0] and said else None,
        floor=settings.floor_seconds.get(size),
        detail={
            "diffusers' pipeline, s": round(median(other), 3),
            "ratio": round(median(other) / median(mine), 3),
            "peak GiB": _peak(),
        },
    )


def _begin(family: FamilyPipeline, asked: ResolvedRequest) -> Trajectory:
    return family.prepare(asked, family.encode(asked), 0, Pictures())


def _finish(family: FamilyPipeline, rows: Sequence[Trajectory]) -> None:
    while under_way := [row for row in rows if not row.is_done]:
        for row, noise_pred in zip(under_way, family.predict(under_way), strict=True):
            row.advance(noise_pred)


def draw_by_steps(family: FamilyPipeline, asked: ResolvedRequest) -> None:
    """Draw a picture with the family's verbs alone."""
    row = _begin(family, asked)
    _finish(family, [row])
    family.decode(row)


def _theirs(built: Built, asked: ResolvedRequest) -> None:
    built.pipeline(**_arguments(asked), output_type="np")


def _pipeline_latents(
    built: Built, asked: ResolvedRequest, noise: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Return the pipeline's latents in fp32, of the same noise and prompts in `dtype`."""
    # A scheduler keeps state: a fresh one for each call, as our rows have it.
    built.pipeline.scheduler = schedulers.build(built.family, None, built.pipeline.scheduler)
    arguments = _arguments(asked) | {"prompt": None, "latents": noise.to(dtype)}
    for name, embeds in _embeds(built, asked).items():
        arguments[name] = embeds.to(dtype)
    latents: torch.Tensor = built.pipeline(**arguments, output_type="latent").images
    return latents.float()


def _embeds(built: Built, asked: ResolvedRequest) -> dict[str, torch.Tensor]:
    if built.family is Family.FLUX:
        embeds, pooled, _ = built.pipeline.encode_prompt(asked.prompt, None)
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
    names = (
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    )
    return dict(zip(names, built.pipeline.encode_prompt(asked.prompt), strict=True))


def _arguments(asked: ResolvedRequest) -> dict[str, Any]:
    return {
        "prompt": asked.prompt,
        "width": asked.width,
        "height": asked.height,
        "num_inference_steps": asked.num_inference_steps,
        "guidance_scale": asked.guidance_scale,
        "generator": torch.Generator().manual_seed(asked.seed),
    }


def _seconds(built: Built, work: Callable[[], object], times: int) -> float:
    """Return the median seconds of `work`, after one run that does not count when timed often."""
    if times > 1:
        work()
    if built.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    taken = []
    for _ in range(times):
        _sync(built)
        started = time.perf_counter()
        work()
        _sync(built)
        taken.append(time.perf_counter() - started)
    return median(taken)


def _sync(built: Built) -> None:
    if built.device.type == "cuda":
        torch.cuda.synchronize()


def _peak() -> float:
    if not torch.cuda.is_available():
        return 0.0
    return round(torch.cuda.max_memory_allocated() / 2**30, 2)
