"""A killed run goes on as if it had never been killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from training.storybook.loop import (
    CHECKPOINT,
    LOG,
    PLOT,
    Average,
    Run,
    Schedule,
    Stateful,
    step_generator,
)
from training.storybook.muon import Muon, muon_for, orthogonalised
from training.storybook.plots import HEIGHT, WIDTH, plot_log

SCHEDULE = Schedule(12, 0.05, warmup=3, checkpoint_every=4, log_every=2)


class KilledError(Exception):
    """Stands for the end of the process."""


def learn(folder: Path, killed_at: int | None = None) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    optimizer = muon_for([model], SCHEDULE.learning_rate, 0.01, {"2"})
    average = Average({"model": model}, 0.9)

    def take_step(step: int) -> dict[str, float]:
        if step == killed_at:
            raise KilledError
        x = torch.randn(16, 3, generator=step_generator(5, step))
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        average.update(step)
        return {"loss": loss.item()}

    parts: dict[str, Stateful] = {"model": model, "optimizer": optimizer, "average": average}
    Run(folder, SCHEDULE).train(parts, optimizer, take_step)
    return dict(model.state_dict()) | {str(i): v for i, v in enumerate(average.state_dict())}


def test_a_checkpoint_may_come_before_the_first_line_of_the_log(tmp_path: Path) -> None:
    schedule = Schedule(4, 0.05, warmup=1, checkpoint_every=2, log_every=3)
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    run = Run(tmp_path, schedule)
    run.train({"model": model}, optimizer, lambda step: {"loss": float(step)})
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 4]
    assert (tmp_path / PLOT).exists()


@pytest.mark.parametrize("killed_at", [0, 3, 6, 11])
def test_a_resumed_run_ends_where_an_unbroken_run_ends(tmp_path: Path, killed_at: int) -> None:
    unbroken = learn(tmp_path / "unbroken")
    with pytest.raises(KilledError):
        learn(tmp_path / "broken", killed_at)
    resumed = learn(tmp_path / "broken")
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


def test_a_finished_run_takes_no_more_steps(tmp_path: Path) -> None:
    first = learn(tmp_path)
    again = learn(tmp_path, killed_at=11)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_half_a_checkpoint_is_never_read(tmp_path: Path) -> None:
    unbroken = learn(tmp_path / "unbroken")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / CHECKPOINT).with_suffix(".partial").write_bytes(b"half a checkpoint")
    resumed = learn(broken)
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


def test_the_log_has_a_line_for_every_few_steps(tmp_path: Path) -> None:
    learn(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_the_log_is_plotted_for_every_number(tmp_path: Path) -> None:
    learn(tmp_path)
    with Image.open(tmp_path / PLOT) as plot:
        assert plot.size == (WIDTH, HEIGHT)
        assert len(plot.getcolors() or ()) > 3


def test_an_empty_log_cannot_be_plotted(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("")
    with pytest.raises(ValueError, match="the log is empty"):
        plot_log(tmp_path / LOG)


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    schedule = Schedule(100, 1.0, warmup=10, flat=0.3, floor=0.01)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:30] == [1.0] * 20
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=0.002)


def test_swapping_an_average_twice_changes_nothing() -> None:
    model = torch.nn.Linear(2, 2)
    average = Average({"model": model}, 0.9)
    before = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1)
    average.swap()
    assert torch.equal(model.weight, before)
    average.swap()
    assert torch.equal(model.weight, before + 1)


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
def test_an_orthogonalised_matrix_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert float(values.max()) < 1.3
    assert float(values.median()) > 0.6


def test_edges_and_vectors_are_left_to_adam() -> None:
    model = torch.nn.ModuleDict(
        {"conv_in": torch.nn.Conv2d(3, 4, 3), "hidden": torch.nn.Linear(4, 4)}
    )
    optimizer = muon_for([model], 0.1, 0.0, {"conv_in"})
    assert isinstance(optimizer, Muon)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 3]
