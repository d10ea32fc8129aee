"""The bare pipeline in a process of its own: draws one picture for each line it reads.

`python -m bench.bare FOLDER [STEM]` reads JSON arguments of the pipeline call, one object a line,
and answers each with the seconds it took. `threads` among them is torch's own number of threads,
`scheduler` the name of a noise scheduler. With STEM each picture is saved as a PNG, too.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch
from diffusers import DiffusionPipeline, FluxPipeline

from server.domain.models import Family
from server.engine import schedulers


def main() -> None:
    """Load the pipeline once, then draw for as long as lines come."""
    pipeline = DiffusionPipeline.from_pretrained(sys.argv[1], dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    own = pipeline.scheduler
    family = Family.FLUX if isinstance(pipeline, FluxPipeline) else Family.SDXL
    stem = sys.argv[2] if len(sys.argv) > 2 else None
    for number, line in enumerate(sys.stdin):
        arguments = json.loads(line)
        pipeline.scheduler = schedulers.build(family, arguments.pop("scheduler", None), own)
        started = time.perf_counter()
        image = draw(pipeline, arguments)
        if stem is not None:
            image.save(f"{stem}-{number % 16}.png", compress_level=1)
        print(time.perf_counter() - started, flush=True)


def draw(pipeline: DiffusionPipeline, arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - PIL's
    """Return the picture of one pipeline call."""
    torch.set_num_threads(arguments.pop("threads"))
    generator = torch.Generator("cpu").manual_seed(arguments.pop("seed"))
    return pipeline(**arguments, generator=generator).images[0]


if __name__ == "__main__":
    main()
