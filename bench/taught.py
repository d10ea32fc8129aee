"""Whether a character can be taught: `python -m bench.taught --state DIR`.

Three characters of species that base training never met, five pictures each, are taught as LoRA
and then asked for in settings that their pictures do not have. Beside every number stands the zero
line (the same captions without the adapter) and the best possible (the world's own drawings).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bench.shares import shares
from server.likeness.embedder import load_embedder
from training.storybook.critic import Critic
from training.storybook.evaluation import Drawn, draw_scenes, draw_texts
from training.storybook.export import digest
from training.storybook.lora import load_adapter
from training.storybook.machine import fast_bfloat16, use_one_thread
from training.storybook.sampling import Sampling, sheet
from training.storybook.teaching import (
    NEWCOMERS,
    SCENE_SEED,
    Newcomer,
    named_caption,
    own_pictures,
    unseen_scenes_of,
)
from training.storybook.teaching_scores import (
    Judge,
    by_hand,
    exactly,
    others_kept,
    scene_kept,
)
from training.storybook.workshop import StorybookXl, Workshop, open_model
from training.storybook.world.scenes import training_scene

MODEL = Path("server/assets/storybook-xl")
CRITIC = Path("server/assets/storybook-critic")
RESULT = Path("bench/results/storybook/taught.json")
SHEETS = Path("docs/images")
SHOWN = 10  # pictures on a character's sheet, after the five it was taught with
OTHERS_SEED = SCENE_SEED + 100_000
Json = dict[str, object]


@dataclass(frozen=True)
class Jury:
    """All that judges, and how much it is shown."""

    critic: Critic
    judge: Judge
    how: Sampling
    count: int  # pictures of each character
    others: int  # pictures of other characters, drawn with the adapter


def main() -> None:
    """Teach, measure, print and keep the result."""
    parser = argparse.ArgumentParser(prog="python -m bench.taught", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="folder that keeps the training")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--critic", type=Path, default=CRITIC)
    parser.add_argument("--only", choices=[n.name for n in NEWCOMERS], help="one character alone")
    parser.add_argument("--pictures", type=int, default=30, help="of each character")
    arguments = parser.parse_args()
    use_one_thread()
    how = Sampling()
    judge = Judge.of(load_embedder(arguments.critic), how.size)
    jury = Jury(Critic.load(arguments.critic), judge, how, arguments.pictures, 20)
    result: Json = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    result |= {
        "model": arguments.model.name,
        "pictures_taught_with": 5,
        "num_inference_steps": how.num_inference_steps,
        "guidance_scale": how.guidance_scale,
        "rivals": len(judge.names),
    }
    for newcomer in NEWCOMERS:
        if arguments.only in (None, newcomer.name):
            result[newcomer.name], row = measure(newcomer, arguments.model, arguments.state, jury)
            page = sheet(row, columns=5 + SHOWN, enlarged=2)
            page.save(SHEETS / f"storybook-taught-{newcomer.name}.webp", quality=90)
            RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def measure(
    newcomer: Newcomer, model: Path, state: Path, jury: Jury
) -> tuple[Json, list[Image.Image]]:
    """Return one character's result, and its row of the sheet."""
    workshop = Workshop(state, StorybookXl(), fast_bfloat16())
    recipe, file = workshop.recipe.teaching, workshop.teach(model, (newcomer,))[newcomer.name]
    scenes = unseen_scenes_of(newcomer, jury.count)
    pipeline = open_model(model)
    texts = tuple(named_caption(newcomer, s, SCENE_SEED + i) for i, s in enumerate(scenes))
    others = [training_scene(OTHERS_SEED + i) for i in range(jury.others)]
    without = draw_texts(pipeline, scenes, texts, SCENE_SEED, jury.how)
    load_adapter(pipeline, file)
    taught = draw_texts(pipeline, scenes, texts, SCENE_SEED, jury.how)
    neighbours = draw_scenes(pipeline, others, OTHERS_SEED, jury.how)
    size = jury.how.size
    result: Json = {
        "species": newcomer.species,
        "colour": newcomer.colour,
        "captions": list(texts[:4]),
        "steps": recipe.schedule.steps,
        "rank": recipe.shape.rank,
        "adapter_bytes": file.stat().st_size,
        "adapter_sha256": digest(file),
        "with_the_adapter": _scores(newcomer, taught, jury),
        "without_the_adapter": _scores(newcomer, without, jury),
        "drawn_by_the_world": _scores(
            newcomer, Drawn(tuple(scenes), texts, tuple(by_hand(scenes, size))), jury
        ),
        "others_with_the_adapter": shares(
            others_kept(jury.critic, neighbours.pictures, others)
            | {"taken for it": jury.judge.recognised(newcomer, neighbours.pictures)}
        ),
    }
    return result, [*own_pictures(newcomer, size), *taught.pictures[:SHOWN]]


def _scores(newcomer: Newcomer, drawn: Drawn, jury: Jury) -> Json:
    pictures: Sequence[Image.Image] = drawn.pictures
    likeness = jury.judge.likeness(newcomer, pictures, jury.how.size)
    seen = {"recognised": jury.judge.recognised(newcomer, pictures)}
    return {
        "critic": shares(seen | scene_kept(jury.critic, pictures, drawn.scenes)),
        "exact": shares(exactly(pictures, drawn.scenes)),
        "likeness": round(likeness, 4),
    }


if __name__ == "__main__":
    main()
