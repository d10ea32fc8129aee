"""How well four steps draw what is asked: `python -m bench.few_steps [--adapter FILE]`.

The model's own twenty guided steps stand beside: their scores, and how far four steps with the
same seed are from their pictures. Without an adapter that is the zero line which a few-step adapter
has to beat.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from bench.storybook import CRITIC, MODEL, RESULTS, SHEETS, Json, both_scores, draw_unseen
from training.storybook.critic import Critic
from training.storybook.evaluation import Drawn
from training.storybook.export import digest
from training.storybook.lora import load_adapter
from training.storybook.machine import use_one_thread
from training.storybook.sampling import Sampling, sheet
from training.storybook.workshop import open_model

FEW, MANY = 4, 20
SCALES = (1.0, 2.0, 3.0)
SHOWN = 16  # columns of the sheet


def main() -> None:
    """Measure, print and keep the result."""
    parser = argparse.ArgumentParser(prog="python -m bench.few_steps", description=__doc__)
    parser.add_argument("--adapter", type=Path, help="a few-step adapter's file")
    parser.add_argument("--captions", type=int, default=200)
    arguments = parser.parse_args()
    use_one_thread()
    result, rows = measure(Critic.load(CRITIC), arguments.captions, arguments.adapter)
    (RESULTS / "few-steps.json").write_text(json.dumps(result, indent=2) + "\n")
    page = sheet([p for row in rows for p in row.pictures[:SHOWN]], columns=SHOWN, enlarged=2)
    page.save(SHEETS / "storybook-few-steps.webp", quality=90)
    print(json.dumps(result, indent=2))


def measure(critic: Critic, count: int, adapter: Path | None) -> tuple[Json, list[Drawn]]:
    """Return the result, and the rows of the sheet: many steps first, then few."""
    pipeline, how = open_model(MODEL), Sampling()
    many = draw_unseen(pipeline, count, Sampling(MANY, how.guidance_scale, how.size))
    rows = [many]
    result: Json = {
        "model": MODEL.name,
        "captions": "combinations that training never met",
        f"{MANY} steps, guidance {how.guidance_scale:g}": both_scores(critic, many),
    }
    for scale in SCALES:
        rows.append(draw_unseen(pipeline, count, Sampling(FEW, scale, how.size)))
        result[f"{FEW} steps, guidance {scale:g}"] = _few(critic, rows[-1], many)
    if adapter is not None:
        load_adapter(pipeline, adapter)
        rows.append(draw_unseen(pipeline, count, Sampling(FEW, 1.0, how.size)))
        result[f"{FEW} steps, with the adapter"] = _few(critic, rows[-1], many) | {
            "checksum": digest(adapter),
            "weight_bytes": adapter.stat().st_size,
        }
    return result, rows


def _few(critic: Critic, drawn: Drawn, many: Drawn) -> Json:
    pairs = zip(drawn.pictures, many.pictures, strict=True)
    off = [np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).mean() for a, b in pairs]
    return both_scores(critic, drawn) | {
        "mean_difference_from_many_steps_in_bytes": round(float(np.mean(off)), 2)
    }


if __name__ == "__main__":
    main()
