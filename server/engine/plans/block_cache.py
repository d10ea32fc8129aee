"""FLUX.1 with blocks left out: if the first block did nearly what it did before, so will the rest.

What the blocks after the first added is kept, row by row, and added again while the first
block's own change stays within a threshold of what it was when they were last computed. This is
FirstBlockCache (also in diffusers), with the state of each row apart: rows of one forward decide
each for itself, and only those that moved go through the other blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import Any

import torch

THRESHOLD = 0.08  # mean change of the first block's residual, in parts of it

Drawing = Callable[[Sequence[int]], AbstractContextManager[None]]
"""From the rows of a forward to what seats their adapters."""


@dataclass(frozen=True, slots=True)
class RowState:
    """What one row's last whole pass left: (tokens, channels) each.

    Attributes:
        first: what the first block added to the picture's tokens.
        rest: what the others added after it.
    """

    first: torch.Tensor
    rest: torch.Tensor


class BlockCache:
    """The state of one picture's rows; it ends with the picture.

    A prediction can be made again, so what it found counts only once a step was taken with it.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold
        self.reused = False  # whether the last step left blocks out, in any row
        self._rows: tuple[RowState | None, ...] = ()
        self._next: tuple[RowState | None, ...] = ()

    def rows(self, count: int) -> tuple[RowState | None, ...]:
        """Return the state of each row; None: it has not passed all blocks yet."""
        return self._rows or (None,) * count

    def propose(self, rows: Sequence[RowState | None]) -> None:
        """Note what a prediction left, in place of what an earlier try did."""
        self._next = tuple(rows)

    def forget(self) -> None:
        """Note that a prediction is made without the cache."""
        self._rows = self._next = ()

    def commit(self) -> None:
        """Take what the last prediction left: a step was taken with it."""
        kept = self._rows or (None,) * len(self._next)
        self.reused = any(new is old for new, old in zip(self._next, kept, strict=True))
        self._rows = self._next


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the network is called with; see FluxTransformer2DModel."""

    hidden_states: torch.Tensor
    encoder_hidden_states: torch.Tensor
    pooled_projections: torch.Tensor
    timestep: torch.Tensor
    guidance: torch.Tensor | None
    img_ids: torch.Tensor
    txt_ids: torch.Tensor

    def as_arguments(self) -> dict[str, torch.Tensor | None]:
        """Return the same by the network's names."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def predict_reusing(
    network: Any,  # noqa: ANN401 - diffusers'
    inputs: Inputs,
    states: Sequence[RowState | None],
    thresholds: Sequence[float | None],
    drawing: Drawing,
) -> tuple[torch.Tensor, list[RowState | None]]:
    """Return a forward's output, (rows, tokens, channels), and each row's state after it.

    Args:
        network: a FluxTransformer2DModel that is not streamed.
        inputs: of all rows.
        states: of each row before it.
        thresholds: of each row; None: it passes all blocks, and keeps no state.
        drawing: called for the rows that pass the first block, then for those that pass the rest.
    """
    with drawing(range(len(states))):
        picture = network.x_embedder(inputs.hidden_states)
        text = network.context_embedder(inputs.encoder_hidden_states)
        told = _told(network, inputs, picture.dtype)
        places = network.pos_embed(torch.cat([inputs.txt_ids, inputs.img_ids]))
        blocks = [*network.transformer_blocks, *network.single_transformer_blocks]
        text, after_first = _passed(blocks[:1], text, picture, told, places)
        first = after_first - picture
    moved = _moved(first, states, thresholds)
    rest = torch.empty_like(after_first)
    if moved:
        some = slice(None) if len(moved) == len(states) else moved
        with drawing(moved):
            _, end = _passed(blocks[1:], text[some], after_first[some], told[some], places)
        rest[some] = end - after_first[some]
    after = list(states)
    for row, state in enumerate(states):
        if row not in moved and state is not None:
            rest[row] = state.rest
        elif thresholds[row] is not None:
            after[row] = RowState(first[row].clone(), rest[row].clone())
    with drawing(range(len(states))):
        written = network.proj_out(network.norm_out(after_first + rest, told))
    return written, after


def _told(network: Any, inputs: Inputs, dtype: torch.dtype) -> torch.Tensor:  # noqa: ANN401
    """Return what all blocks are told of time, guidance and the prompt as a whole."""
    timestep = inputs.timestep.to(dtype) * 1000
    guidance = () if inputs.guidance is None else (inputs.guidance.to(dtype) * 1000,)
    told: torch.Tensor = network.time_text_embed(timestep, *guidance, inputs.pooled_projections)
    return told


def _passed(
    blocks: Sequence[Any],
    text: torch.Tensor,
    picture: torch.Tensor,
    told: torch.Tensor,
    places: tuple[torch.Tensor, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    for block in blocks:
        text, picture = block(
            hidden_states=picture,
            encoder_hidden_states=text,
            temb=told,
            image_rotary_emb=places,
        )
    return text, picture


def _moved(
    first: torch.Tensor, states: Sequence[RowState | None], thresholds: Sequence[float | None]
) -> list[int]:
    """Return the rows that must pass all blocks."""
    before = torch.stack(
        [new if state is None else state.first for new, state in zip(first, states, strict=True)]
    )
    change = (first - before).abs().mean(dim=(1, 2)) / before.abs().mean(dim=(1, 2))
    # One wait for the device, whatever the number of rows.
    changes: list[float] = change.float().tolist()
    return [
        row
        for row, (state, threshold) in enumerate(zip(states, thresholds, strict=True))
        if state is None or threshold is None or not changes[row] <= threshold
    ]
