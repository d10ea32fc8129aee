"""How well the bundled model draws what it is asked: `python -m bench.storybook`.

Captions are of combinations that training never met. Two judges answer: the bundled critic, and
exact measures that know no network. Both are first checked on drawn pictures.
`--few-steps FILE` measures the few-step adapter in FILE, and what the model does without it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

from bench.shares import shares
from training.storybook.critic import Critic
from training.storybook.critic_scores import accuracy
from training.storybook.evaluation import (
    EVALUATION_SEED,
    Drawn,
    by_critic,
    by_measures,
    choose_guidance,
    draw_scenes,
    unseen_scenes,
)
from training.storybook.export import CHECKSUMS, digest, weight_bytes
from training.storybook.lora import load_adapter
from training.storybook.machine import use_one_thread
from training.storybook.sampling import Sampling, sheet
from training.storybook.untyped import Pipeline
from training.storybook.workshop import open_model
from training.storybook.world.drawing import draw

MODEL = Path("server/assets/storybook-xl")
CRITIC = Path("server/assets/storybook-critic")
RESULTS = Path("bench/results/storybook")  # a folder down: not a row of `make bench`
SHEETS = Path("docs/images")
FEW_STEPS = 4
Json = dict[str, object]


@dataclass(frozen=True)
class Extent:
    """How much is drawn."""

    captions: int
    guidance_captions: int
    checks: int  # drawn pictures on which the exact measures are checked


def main() -> None:
    """Measure, print and keep the result."""
    parser = argparse.ArgumentParser(prog="python -m bench.storybook", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--critic", type=Path, default=CRITIC)
    parser.add_argument("--few-steps", type=Path, help="a few-step adapter's file")
    parser.add_argument("--captions", type=int, default=200)
    parser.add_argument("--guidance-captions", type=int, default=64)
    arguments = parser.parse_args()
    use_one_thread()
    critic = Critic.load(arguments.critic)
    extent = Extent(arguments.captions, arguments.guidance_captions, 60)
    name = arguments.model.name
    if arguments.few_steps is None:
        result, drawn = measure(arguments.model, critic, extent)
    else:
        name = f"{name}-{FEW_STEPS}step"
        result, drawn = measure_few_steps(arguments.model, arguments.few_steps, critic, extent)
    keep(name, result, drawn)
    print(json.dumps(result, indent=2))
    print("\n".join(drawn.captions[:40]))


def keep(name: str, result: Json, drawn: Drawn) -> None:
    """Write the result, and the first forty pictures as a sheet."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    SHEETS.mkdir(parents=True, exist_ok=True)
    page = sheet(drawn.pictures[:40], columns=8, enlarged=2)
    page.save(SHEETS / f"{name}.png", optimize=True)


def measure(model: Path, critic: Critic, extent: Extent) -> tuple[Json, Drawn]:
    """Return the result and the pictures it was measured on."""
    pipeline = open_model(model)
    how = Sampling()
    scales = choose_guidance(pipeline, critic, extent.guidance_captions, how)
    best = Sampling(how.num_inference_steps, max(scales, key=scales.__getitem__), how.size)
    began = time.process_time()
    drawn = _drawn(pipeline, extent, best)
    seconds = (time.process_time() - began) / extent.captions
    result: Json = {
        "model": model.name,
        "checksums": (model / CHECKSUMS).read_text().splitlines(),
        "weight_bytes": weight_bytes(model),
        "captions": "combinations that training never met",
        "num_inference_steps": best.num_inference_steps,
        "guidance_scale": best.guidance_scale,
        "guidance_tried": {str(scale): round(score, 4) for scale, score in scales.items()},
        "size": best.size,
        "cpu_seconds_per_picture_batch_16": round(seconds, 3),
        "scores": _scores(critic, drawn),
        "scores_against_wrong_captions": _scores(critic, _misassigned(drawn)),
        "judges_on_drawn_pictures": {
            "critic": shares(accuracy(critic, size=how.size)),
            "exact": shares(by_measures(_drawn_by_hand(extent.checks, how.size))),
        },
    }
    return result, drawn


def measure_few_steps(
    model: Path, adapter: Path, critic: Critic, extent: Extent
) -> tuple[Json, Drawn]:
    """Return the adapter's result and pictures; the zero lines are the model without it."""
    pipeline, how = open_model(model), Sampling()
    without = {
        f"{FEW_STEPS} steps, guidance {scale:g}": _scores(
            critic, _drawn(pipeline, extent, Sampling(FEW_STEPS, scale, how.size))
        )
        for scale in (how.guidance_scale, 1.0)
    }
    load_adapter(pipeline, adapter)
    began = time.process_time()
    drawn = _drawn(pipeline, extent, Sampling(FEW_STEPS, 1.0, how.size))
    seconds = (time.process_time() - began) / extent.captions
    result: Json = {
        "model": f"{model.name} with the few-step adapter",
        "checksum": digest(adapter),
        "weight_bytes": adapter.stat().st_size,
        "captions": "combinations that training never met",
        "num_inference_steps": FEW_STEPS,
        "guidance_scale": 1.0,
        "size": how.size,
        "cpu_seconds_per_picture_batch_16": round(seconds, 3),
        "scores": _scores(critic, drawn),
        "without_the_adapter": without,
    }
    return result, drawn


def _drawn(pipeline: Pipeline, extent: Extent, how: Sampling) -> Drawn:
    return draw_scenes(pipeline, unseen_scenes(extent.captions), EVALUATION_SEED, how)


def _scores(critic: Critic, drawn: Drawn) -> Json:
    return {"critic": shares(by_critic(critic, drawn)), "exact": shares(by_measures(drawn))}


def _drawn_by_hand(count: int, size: int) -> Drawn:
    """Return pictures from the world itself, which both judges ought to get right."""
    scenes = unseen_scenes(count)
    pictures = (draw(scene, EVALUATION_SEED + i, size, size) for i, scene in enumerate(scenes))
    return Drawn(tuple(scenes), ("",) * count, tuple(pictures))


def _misassigned(drawn: Drawn) -> Drawn:
    """Return the pictures with each other's scenes: what a judge says yes to by chance."""
    scenes = (*drawn.scenes[1:], drawn.scenes[0])
    return Drawn(scenes, drawn.captions, drawn.pictures)


if __name__ == "__main__":
    main()
