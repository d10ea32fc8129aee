"""What a picture takes beside the weights, counted on the real networks.

`python -m bench.activations`. Nothing is computed: tensors have shapes and no numbers. So it runs
anywhere, in a minute, and knows nothing of what a device's libraries take for themselves.
`server.domain.planning` has the figures.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, UNet2DConditionModel
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from bench.gpu_models import SDXL

MIB = 2**20


class Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the most bytes that live at once of all that is made inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self._living: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        made = func(*args, **(kwargs or {}))
        for tensor in tree_flatten(made)[0]:
            if isinstance(tensor, torch.Tensor):
                self._see(tensor.untyped_storage())
        return made

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata  # noqa: SLF001 - what storages of one memory share
        if key not in self._living:
            self._living[key] = storage.nbytes()
            weakref.finalize(storage, self._living.pop, key, None)
            self.bytes = max(self.bytes, sum(self._living.values()))


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Make tensors in bf16 and without numbers."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with FakeTensorMode(), torch.inference_mode():
            yield
    finally:
        torch.set_default_dtype(before)


def measured(make: Callable[[], torch.nn.Module], run: Callable[[Any], object]) -> tuple[int, int]:
    """Return bytes of the weights, and the most that a call takes beside them."""
    with shapes_alone():
        network = make()
        weights = sum(weight.nbytes for weight in network.parameters())
        with Peak() as peak:
            run(network)
    return weights, peak.bytes


def unet() -> torch.nn.Module:
    """Return SDXL's network."""
    made: torch.nn.Module = UNet2DConditionModel.from_config(
        UNet2DConditionModel.load_config(SDXL / "unet")
    )
    return made


def vae() -> torch.nn.Module:
    """Return SDXL's autoencoder; FLUX.1's differs in the channels of its latents."""
    made: torch.nn.Module = AutoencoderKL.from_config(AutoencoderKL.load_config(SDXL / "vae"))
    return made


def flux() -> torch.nn.Module:
    """Return the network of FLUX.1 dev."""
    made: torch.nn.Module = FluxTransformer2DModel(guidance_embeds=True)
    return made


def unet_step(rows: int, side: int) -> Callable[[Any], object]:
    """Return a forward of SDXL's network."""
    return lambda network: network(
        torch.empty(rows, 4, side // 8, side // 8),
        torch.empty(rows),
        encoder_hidden_states=torch.empty(rows, 77, 2048),
        added_cond_kwargs={
            "text_embeds": torch.empty(rows, 1280),
            "time_ids": torch.empty(rows, 6),
        },
        return_dict=False,
    )


def flux_step(rows: int, side: int) -> Callable[[Any], object]:
    """Return a forward of FLUX.1's network."""
    tokens = (side // 16) ** 2
    return lambda network: network(
        hidden_states=torch.empty(rows, tokens, 64),
        timestep=torch.empty(rows),
        guidance=torch.empty(rows),
        pooled_projections=torch.empty(rows, 768),
        encoder_hidden_states=torch.empty(rows, 512, 4096),
        txt_ids=torch.zeros(512, 3),
        img_ids=torch.zeros(tokens, 3),
        return_dict=False,
    )


def decoding(side: int) -> Callable[[Any], object]:
    """Return a decoding to a picture of `side` x `side`."""
    return lambda network: network.decode(torch.empty(1, 4, side // 8, side // 8))


def main() -> int:
    """Print the table."""
    cases: tuple[tuple[str, Callable[[], torch.nn.Module], Callable[[Any], object]], ...] = (
        ("SDXL, 1 row, 1024 x 1024", unet, unet_step(1, 1024)),
        ("SDXL, 2 rows, 1024 x 1024", unet, unet_step(2, 1024)),
        ("SDXL, 8 rows, 1024 x 1024", unet, unet_step(8, 1024)),
        ("FLUX.1, 1 row, 512 x 512", flux, flux_step(1, 512)),
        ("FLUX.1, 1 row, 1024 x 1024", flux, flux_step(1, 1024)),
        ("FLUX.1, 2 rows, 1024 x 1024", flux, flux_step(2, 1024)),
        ("decode 512 x 512", vae, decoding(512)),
        ("decode 1024 x 1024", vae, decoding(1024)),
        ("decode 2048 x 2048", vae, decoding(2048)),
    )
    print(f"{'':30}{'weights':>12}{'beside them':>14}   MiB, bf16")
    for name, make, run in cases:
        weights, beside = measured(make, run)
        print(f"{name:30}{weights / MIB:12.0f}{beside / MIB:14.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
