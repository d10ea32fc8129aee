"""What is known of a file before it is kept, asked of a process without its own torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from server.domain.errors import AdapterError
from server.engine import inspection
from server.engine.adapters.inspect import facts
from tests.engine.adapters import made
from tests.engine.adapters.made import Networks


async def test_a_process_tells_family_rank_and_layers(
    sdxl_networks: Networks, tmp_path: Path
) -> None:
    adapter = made.adapter({"unet": sdxl_networks["unet"]}, 1, rank=6, wanted=made.attention)
    path = made.written(made.peft(adapter), tmp_path)
    found = await inspection.inspect(path)
    layers = len(adapter.components["unet"])
    assert (found.family, found.rank, found.layers) == ("sdxl", 6, layers)


def test_kohya_and_flux_are_told_apart(
    sdxl_networks: Networks, flux_networks: Networks, tmp_path: Path
) -> None:
    sdxl = made.released_sdxl(made.adapter({"unet": sdxl_networks["unet"]}, 1, rank=3))
    assert facts(made.written(sdxl, tmp_path))["family"] == "sdxl"
    flux = made.peft(made.adapter({"transformer": flux_networks["transformer"]}, 1))
    assert facts(made.written(flux, tmp_path))["family"] == "flux"


async def test_a_process_that_refuses_says_why(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no sound safetensors file"):
        await inspection.inspect(_file(tmp_path, b"no tensors at all"))
    with pytest.raises(AdapterError, match=r"'\.ckpt' files are not read"):
        await inspection.inspect(tmp_path / "old.ckpt")


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "bytes.safetensors"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"unet.mid_block.x.lokr_w1": torch.ones(2, 2)}, "is a LoKr"),
        ({"model.weight": torch.ones(2, 2)}, "unknown keys: 'model.weight'"),
        (made.renamed(made.query(), ("mid_block", "joint_blocks")), "is for Stable Diffusion 3"),
        (made.renamed(made.query(inputs=768), (".attn1.to_q", ".attn2.to_k")), "Diffusion 1.x"),
        (made.renamed(made.query(), ("unet.mid_block", "text_encoder.layers")), "nobody can tell"),
        (made.query(rank=2048), "has rank 2048"),
    ],
)
def test_what_is_not_drawn_with_is_refused_by_name(
    tensors: made.Tensors, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(AdapterError, match=reason):
        facts(made.written(tensors, tmp_path))
