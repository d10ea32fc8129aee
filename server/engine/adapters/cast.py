"""The adapters of one pipeline: read for it, seated in its network and in its text encoders."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from torch import nn

from server.domain.models import Family
from server.engine.adapters.adapter import Adapter
from server.engine.adapters.mix import Mix, key
from server.engine.adapters.reading import read_adapter
from server.engine.adapters.seats import Seats

_TEXT_ENCODERS = ("text_encoder", "text_encoder_2")
_TEXT_BUDGET_BYTES = 256 * 2**20  # each; used once a prompt, so little is lost without it


class Cast:
    """What a pipeline's adapters need of it.

    Args:
        pipeline: in its dtype.
        family: what it is.
        network: the component that draws.
        device: where it draws.
    """

    def __init__(
        self, pipeline: DiffusionPipeline, family: Family, network: str, device: torch.device
    ) -> None:
        self._family = family
        self._device = device
        self._components: dict[str, nn.Module] = {
            name: getattr(pipeline, name)
            for name in (network, *_TEXT_ENCODERS)
            if getattr(pipeline, name) is not None
        }
        self._seats = Seats(self._components[network], network, device=device)
        self._text_seats = {
            name: Seats(self._components[name], name, _TEXT_BUDGET_BYTES, device)
            for name in _TEXT_ENCODERS
            if name in self._components
        }

    def read_adapter(self, path: Path) -> Adapter:
        """Return the adapter in the file at `path`, in main memory.

        Raises:
            AdapterError: the file is damaged, of another kind, or made for another network.
        """
        pinned = self._device.type == "cuda"
        return read_adapter(path, self._family, self._components, pinned=pinned)

    def forget(self) -> None:
        """Give back what adapters take on the device."""
        for seats in (self._seats, *self._text_seats.values()):
            seats.clear()

    @contextmanager
    def reading(self, mix: Mix) -> Iterator[None]:
        """Encode prompts inside with `mix` in the text encoders; see Seats."""
        with ExitStack() as stack:
            for seats in self._text_seats.values():
                stack.enter_context(seats.use([mix]))
            yield

    def drawing(self, mixes: Sequence[Mix]) -> AbstractContextManager[None]:
        """Draw row i of the forwards inside with `mixes[i]`; see Seats."""
        return self._seats.use(mixes)

    def key(self, mix: Mix) -> Hashable:
        """Return what tells apart mixes that read a prompt differently."""
        return key(mix, self._text_seats)
