"""The ways to compute attention that may be here, each as one function without global state.

torch lets a program choose among its kernels by switches of the whole process, which the decoder's
thread would feel: its heads are too wide for most of them. So they are called by name.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

import torch
from torch.nn.functional import scaled_dot_product_attention

from server.engine.attention.choice import USUAL

Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""From query, key and value, each (rows, heads, tokens, channels), to the same of the query."""

_aten = torch.ops.aten


def kernels(device: torch.device) -> Mapping[str, Kernel]:
    """Return what might be used on `device`, by name; trying says what works."""
    found: dict[str, Kernel] = {USUAL: usual, "math": _math}
    if device.type == "cpu":
        found["flash"] = _flash_on_cpu
    if device.type != "cuda":
        return found
    found |= {"flash": _flash, "efficient": _efficient, "cudnn": _cudnn}
    for module, package, kernel in (
        ("xformers.ops", "xformers", _xformers),
        ("flash_attn_interface", "flash-attn-3", _flash_3),
    ):
        if importlib.util.find_spec(module.partition(".")[0]) is not None:
            found[f"{package}-{_version(package)}"] = kernel
    return found


def usual(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Leave the choice to torch."""
    return scaled_dot_product_attention(query, key, value)


def _math(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return _first(_aten._scaled_dot_product_attention_math(query, key, value))  # noqa: SLF001


def _flash(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return _first(_aten._scaled_dot_product_flash_attention(query, key, value))  # noqa: SLF001


def _flash_on_cpu(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    flash = _aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
    return _first(flash(query, key, value))


def _efficient(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    efficient = _aten._scaled_dot_product_efficient_attention  # noqa: SLF001
    return _first(efficient(query, key, value, None, compute_log_sumexp=False))


def _cudnn(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    cudnn = _aten._scaled_dot_product_cudnn_attention  # noqa: SLF001
    return _first(cudnn(query, key, value, None, compute_log_sumexp=False))


def _xformers(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    ops = importlib.import_module("xformers.ops")
    turned = (each.transpose(1, 2) for each in (query, key, value))
    found: torch.Tensor = ops.memory_efficient_attention(*turned)
    return found.transpose(1, 2)


def _flash_3(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    interface = importlib.import_module("flash_attn_interface")
    turned = (each.transpose(1, 2) for each in (query, key, value))
    return _first(interface.flash_attn_func(*turned)).transpose(1, 2)


def _first(found: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return the result alone; most kernels give what a backward pass would need, too."""
    return found if isinstance(found, torch.Tensor) else found[0]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"  # built in place
