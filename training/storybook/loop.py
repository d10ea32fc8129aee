"""The training loop that every recipe shares: schedule, averaging, log, checkpoints, resume.

A run can be killed at any moment. All chance in step n comes from a generator seeded with
(seed, n), so a resumed run is the same run: no random state has to be saved.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from training.storybook.plots import plot_log

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
PLOT = "log.png"


class Stateful(Protocol):
    """Anything that can be saved and put back: a module, an optimizer, an average."""

    def state_dict(self) -> Any:  # noqa: ANN401
        """Return what must be saved."""

    def load_state_dict(self, state_dict: Any) -> Any:  # noqa: ANN401
        """Put back what was saved."""


@dataclass(frozen=True)
class Schedule:
    """How long a run takes and how fast it learns."""

    steps: int
    learning_rate: float
    warmup: int = 40
    flat: float = 0.3  # share of the run at full speed before the cosine begins
    floor: float = 0.01  # share of the learning rate at the very end
    checkpoint_every: int = 200
    log_every: int = 50

    def rate(self, step: int) -> float:
        """Return the learning rate of step `step`, counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup)
        done = max(0.0, (step / self.steps - self.flat) / (1 - self.flat))
        cosine = self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return self.learning_rate * warm * cosine


class Average:
    """Exponential moving average of some modules' parameters."""

    def __init__(self, modules: Mapping[str, torch.nn.Module], decay: float) -> None:
        self._modules = modules
        self._decay = decay
        self._values = [p.detach().clone() for p in self._parameters()]

    def _parameters(self) -> list[torch.Tensor]:
        return [p for module in self._modules.values() for p in module.parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move a little towards the parameters; more at the beginning of a run."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._values, self._parameters(), 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the parameters and their average; call it twice to be where you were."""
        for parameter, value in zip(self._parameters(), self._values, strict=True):
            held = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(held)

    def state_dict(self) -> list[torch.Tensor]:
        """Return the averaged values, in the parameters' order."""
        return self._values

    def load_state_dict(self, state_dict: list[torch.Tensor]) -> None:
        """Put back averaged values."""
        for value, saved in zip(self._values, state_dict, strict=True):
            value.copy_(saved)


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the source of all chance in one step."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def save_atomically(state: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint so that a reader, or a kill, never meets half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(dict(state), partial)
    partial.replace(path)


@dataclass(frozen=True)
class Run:
    """One recipe's run in its own folder."""

    folder: Path
    schedule: Schedule

    def train(
        self,
        parts: Mapping[str, Stateful],
        optimizer: torch.optim.Optimizer,
        take_step: Callable[[int], dict[str, float]],
        after_checkpoint: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Run until the schedule's last step, beginning where the last checkpoint ended.

        Args:
            parts: all that a checkpoint holds, the optimizer among it.
            optimizer: whose learning rate the schedule sets.
            take_step: makes step n and returns the numbers worth logging.
            after_checkpoint: called with the number of steps done after each checkpoint.
        """
        first = self.resume(parts)
        began, numbers = time.monotonic(), dict[str, float]()
        for step in range(first, self.schedule.steps):
            for group in optimizer.param_groups:
                group["lr"] = self.schedule.rate(step)
            for name, value in take_step(step).items():
                numbers[name] = value if step == first else 0.95 * numbers[name] + 0.05 * value
            done = step + 1
            saves = done % self.schedule.checkpoint_every == 0 or done == self.schedule.steps
            if saves or done % self.schedule.log_every == 0:
                self._log(done, (time.monotonic() - began) / (done - first), numbers)
            if saves:  # after the log, of which it keeps a picture
                self.save(parts, done)
                plot_log(self.folder / LOG).save(self.folder / PLOT)
                after_checkpoint(done)

    def resume(self, parts: Mapping[str, Stateful]) -> int:
        """Put the last checkpoint into `parts` and return how many steps it has; 0 without one."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return 0
        saved = torch.load(path, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        return int(saved["step"])

    def save(self, parts: Mapping[str, Stateful], step: int) -> None:
        """Write the checkpoint of `step` steps."""
        states = {name: part.state_dict() for name, part in parts.items()}
        save_atomically({**states, "step": step}, self.folder / CHECKPOINT)

    def _log(self, step: int, seconds_per_step: float, numbers: Mapping[str, float]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        line = {"step": step, "seconds_per_step": round(seconds_per_step, 4)}
        line |= {name: round(value, 5) for name, value in numbers.items()}
        with (self.folder / LOG).open("a") as log:
            log.write(json.dumps(line) + "\n")
