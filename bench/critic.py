"""How far the bundled critic can be trusted: `python -m bench.critic`.

Accuracy on drawn pictures of evaluation seeds, and how well its embedding separates characters of
species that it never learned from, loaded as the server loads any embedder.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from pathlib import Path

from bench.shares import shares
from server.likeness.embedder import STORYBOOK_CRITIC, load_embedder
from training.storybook.critic import Critic
from training.storybook.critic_scores import (
    VIEWS,
    Cast,
    accuracy,
    held_out_cast,
    recognised_as_unknown,
    separation,
    unseen_creatures,
)
from training.storybook.export import CHECKSUMS, weight_bytes
from training.storybook.machine import use_one_thread

RESULT = Path("bench/results/storybook/storybook-critic.json")


def main() -> None:
    """Measure, print and keep the result."""
    use_one_thread()
    critic, embedder = Critic.load(STORYBOOK_CRITIC), load_embedder(STORYBOOK_CRITIC)

    def strangers(cast: Cast) -> dict[str, object]:
        found = asdict(separation(embedder.embed, cast))
        return {
            "characters": len(set(cast.names)),
            "pictures_of_each": VIEWS,
            "area_under_curve": {
                name: round(value, 4) for name, value in found.items() if not math.isnan(value)
            },
            **shares({"said to be none of the base species": recognised_as_unknown(critic, cast)}),
        }

    held_out = held_out_cast()
    began = time.monotonic()
    embedder.embed(held_out.pictures)
    seconds = (time.monotonic() - began) / len(held_out.pictures)
    result = {
        "model": STORYBOOK_CRITIC.name,
        "checksums": (STORYBOOK_CRITIC / CHECKSUMS).read_text().splitlines(),
        "weight_bytes": weight_bytes(STORYBOOK_CRITIC),
        "width": embedder.width,
        "seconds_per_picture_one_thread": round(seconds, 5),
        "accuracy_on_1000_drawn_pictures": shares(accuracy(critic)),
        "held_out_species": strangers(held_out),
        "unseen_random_characters": strangers(unseen_creatures()),
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
