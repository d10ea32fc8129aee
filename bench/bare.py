"""The bare pipeline in a process of its own: draws one picture for each line it reads.

`python -m bench.bare FOLDER` reads JSON arguments of the pipeline call, one object a line, and
answers each with the seconds it took. `threads` among them is torch's own number of threads.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from diffusers import DiffusionPipeline


def main() -> None:
    """Load the pipeline once, then draw for as long as lines come."""
    pipeline = DiffusionPipeline.from_pretrained(sys.argv[1], dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    for line in sys.stdin:
        arguments = json.loads(line)
        torch.set_num_threads(arguments.pop("threads"))
        generator = torch.Generator("cpu").manual_seed(arguments.pop("seed"))
        started = time.perf_counter()
        pipeline(**arguments, generator=generator)
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
