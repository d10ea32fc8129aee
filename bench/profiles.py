"""`python -m bench.profiles`: what each technique of a plan costs in exactness, time and memory.

On a CPU: Storybook XL with its real weights, and a FLUX.1 of random ones. `--device cuda`: both
families at their real size with random weights. Results lie in bench/results/profiles, and
docs/profiles.md shows all of them.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import nn

from bench.figures import this_machine
from bench.profiles_models import Subject, real_subjects, small_subjects
from bench.profiles_table import RESULTS, Row, Run, write_section
from server.domain.images import Profile, ResolvedRequest
from server.domain.models import Family
from server.domain.plans import RESIDENT, Plan
from server.engine.families.base import FamilyPipeline, Pictures, Trajectory
from server.engine.families.flux import FluxFamily
from server.engine.families.sdxl import SdxlFamily
from server.engine.hardware import device_name
from server.engine.plans.block_cache import THRESHOLD, BlockCache
from server.engine.plans.possible import why_not
from server.engine.plans.quantization import quantise
from server.engine.plans.streaming import stream
from server.engine.plans.tiles import decoded

_COLLAGE = 8  # pictures a side, so that a small model has something to decode in tiles
_TOLERANCES = (THRESHOLD, 0.4, 0.5)  # random weights change more from step to step than real ones


@dataclass(frozen=True)
class Technique:
    """A plan, and a tolerance of its block cache if it is another than the usual one."""

    plan: Plan
    tolerance: float | None = None

    @property
    def name(self) -> str:
        """What it is, without the profile."""
        said = self.plan.name.partition(", ")[2] or "exact"
        return said if self.tolerance is None else f"{said}, tolerance {self.tolerance:g}"


@dataclass(frozen=True)
class Drawn:
    """What a technique drew: the latents and pixels of every request, and seconds of each."""

    latents: list[torch.Tensor]
    pixels: list[torch.Tensor]
    seconds: float
    skipped: float  # part of the steps that left blocks out


TECHNIQUES = (
    Technique(Plan(profile=Profile.MEMORY, weights="int8")),
    Technique(Plan(profile=Profile.FAST, weights="fp8")),
    Technique(Plan(profile=Profile.MEMORY, weights="nf4")),
    Technique(Plan(offload="group")),
    Technique(Plan(profile=Profile.MEMORY, weights="int8", offload="group")),
    *(Technique(Plan(profile=Profile.FAST, block_cache=True), each) for each in _TOLERANCES),
)


def main() -> None:
    """Measure every technique that runs on the device, keep the result, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.profiles", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--small", action="store_true", help="the CPU's models on any device")
    parser.add_argument("--name", help="of the result; else the device and the number of cores")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    load = os.getloadavg()[0]
    if device.type == "cpu":
        torch.set_num_threads(1)
    subjects = small_subjects() if device.type == "cpu" or arguments.small else real_subjects()
    with torch.inference_mode():
        rows = tuple(row for subject in subjects for row in measure(subject, device))
    run = Run.of(this_machine(device_name(device), round(load, 1)), rows)
    name = arguments.name or f"{device.type}-{run.machine.cores}-cores"
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(run.model_dump_json(indent=2) + "\n")
    write_section()


def measure(subject: Subject, device: torch.device) -> Iterator[Row]:
    """Yield a row for every technique, the exact picture first."""
    pipeline, family = _placed(subject, device, RESIDENT)
    exact = _draw(subject, family, Technique(RESIDENT), device)
    yield _row(subject, pipeline, Technique(RESIDENT), exact, exact)
    yield from _decodings(subject, pipeline, exact, device)
    del pipeline, family
    for technique in TECHNIQUES:
        if technique.plan.block_cache and subject.family is not Family.FLUX:
            continue
        gc.collect()
        reason = why_not(technique.plan, subject.family, device)
        _say(f"{subject.name}: {technique.name} {reason or '...'}")
        if reason is not None:
            yield Row.without(subject.name, technique.name, reason)
            continue
        pipeline, family = _placed(subject, device, technique.plan)
        drawn = _draw(subject, family, technique, device)
        yield _row(subject, pipeline, technique, drawn, exact)
        del pipeline, family


def _placed(
    subject: Subject, device: torch.device, plan: Plan
) -> tuple[DiffusionPipeline, FamilyPipeline]:
    pipeline = subject.build(device)
    _place(pipeline, device, plan)
    kind = FluxFamily if subject.family is Family.FLUX else SdxlFamily
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return pipeline, kind(pipeline, device=device)


def _place(pipeline: DiffusionPipeline, device: torch.device, plan: Plan) -> None:
    network = _network(pipeline)
    quantise(network, plan.weights, device)
    if plan.offload == "none":
        pipeline.to(device)
        return
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.to("cpu" if part is network else device)
    stream(network, device, by="block")


def _draw(
    subject: Subject, family: FamilyPipeline, technique: Technique, device: torch.device
) -> Drawn:
    """Draw every request; the first one once before, so that nothing is done for the first time."""
    now = _clock(device)
    _drawn_once(
        family, subject.requests[0].model_copy(update={"num_inference_steps": 2}), technique
    )
    latents, pixels, seconds, skipped = [], [], [], []
    for asked in subject.requests:
        started = now()
        row, picture, left_out = _drawn_once(family, asked, technique)
        seconds.append(now() - started)
        latents.append(row.latents.float().cpu())
        pixels.append(picture.float())
        skipped.append(left_out / row.total_steps)
    return Drawn(latents, pixels, median(seconds), sum(skipped) / len(skipped))


def _drawn_once(
    family: FamilyPipeline, asked: ResolvedRequest, technique: Technique
) -> tuple[Trajectory, torch.Tensor, int]:
    row = family.prepare(asked, family.encode(asked), 0, Pictures(), plan=technique.plan)
    if technique.tolerance is not None:
        row.cache = BlockCache(technique.tolerance)
    skipped = 0
    while not row.is_done:
        row.advance(family.predict([row])[0])
        skipped += row.skipped_blocks
    return row, family.decode(row), skipped


def _row(
    subject: Subject, pipeline: DiffusionPipeline, technique: Technique, drawn: Drawn, exact: Drawn
) -> Row:
    errors = [_error(*pair) for pair in zip(drawn.latents, exact.latents, strict=True)]
    return Row(
        subject=subject.name,
        technique=technique.name,
        latents_error=median(errors),
        psnr_db=_psnr(drawn.pixels, exact.pixels),
        seconds=round(drawn.seconds, 3),
        network_mib=round(sum(map(_bytes, _network(pipeline).parameters())) / 2**20, 2),
        peak_gib=_peak(_network(pipeline).device),
        skipped=round(drawn.skipped, 3) if technique.plan.block_cache else None,
        reason=None,
    )


def _decodings(
    subject: Subject, pipeline: DiffusionPipeline, exact: Drawn, device: torch.device
) -> Iterator[Row]:
    """Decode one large picture whole and in tiles: on a small model, many of its pictures."""
    now = _clock(device)
    latents = _large_latents(pipeline.vae, exact.pixels, device)
    whole = _levels(decoded(pipeline.vae, latents, tiled=False))
    for tiled in (False, True):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = now()
        levels = _levels(decoded(pipeline.vae, latents, tiled=tiled))
        seconds = now() - started  # they were copied, so the device is done
        side = levels.shape[-1]
        yield Row(
            subject=subject.name,
            technique=f"{side} x {side} pixels, {'tiled' if tiled else 'whole'} decode",
            latents_error=None,
            psnr_db=_psnr([levels], [whole]),
            seconds=round(seconds, 3),
            network_mib=None,
            peak_gib=_peak(device),
            skipped=None,
            reason=None,
        )


def _clock(device: torch.device) -> Callable[[], float]:
    """Return what counts seconds: on a CPU its own, so that other programs count for less."""
    return time.process_time if device.type == "cpu" else time.perf_counter


def _peak(device: torch.device) -> float | None:
    """Return the most memory that was used, in GiB; a CPU does not tell."""
    if device.type != "cuda":
        return None
    return round(torch.cuda.max_memory_allocated() / 2**30, 2)


def _large_latents(vae: Any, pixels: list[torch.Tensor], device: torch.device) -> torch.Tensor:  # noqa: ANN401
    side = pixels[0].shape[0]
    picture = torch.cat([torch.cat(_turned(pixels, row), dim=1) for row in range(_copies(side))])
    seen = (picture / 127.5 - 1).permute(2, 0, 1)[None].to(device, vae.dtype)
    latents: torch.Tensor = vae.encode(seen).latent_dist.mode()
    return latents


def _turned(pixels: list[torch.Tensor], row: int) -> list[torch.Tensor]:
    """Return a row of the collage, each beginning with another picture."""
    count = _copies(pixels[0].shape[0])
    return [pixels[(row + column) % len(pixels)] for column in range(count)]


def _copies(side: int) -> int:
    return _COLLAGE if side < 1024 else 1


def _levels(picture: torch.Tensor) -> torch.Tensor:
    return (picture.float() * 127.5 + 127.5).clamp(0, 255).round().cpu()


def _error(latents: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the root mean square difference in parts of the exact latents' deviation."""
    return float((latents - exact).square().mean().sqrt() / exact.std())


def _psnr(pixels: list[torch.Tensor], exact: list[torch.Tensor]) -> float | None:
    """Return the peak signal-to-noise ratio of all pictures together; None: they are equal."""
    errors = [(a - b).square().mean().item() for a, b in zip(pixels, exact, strict=True)]
    mean = sum(errors) / len(errors)
    return None if mean == 0 else round(10 * torch.tensor(255**2 / mean).log10().item(), 1)


def _bytes(weights: nn.Parameter) -> int:
    """Return what a parameter takes; a quantised one is whole numbers and scales."""
    parts = [getattr(weights, name) for name in ("qdata", "scale") if hasattr(weights, name)]
    return sum(part.nbytes for part in parts) if parts else weights.nbytes


def _network(pipeline: DiffusionPipeline) -> Any:  # noqa: ANN401 - diffusers'
    return getattr(pipeline, "unet", None) or pipeline.transformer


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
