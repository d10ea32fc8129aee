"""From a registered model to a pipeline in memory; offline, safetensors only, no code of others."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import (
    DiffusionPipeline,
    FluxFillPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from safetensors import SafetensorError
from safetensors.torch import load_file

from server.domain.errors import ModelUnavailableError
from server.domain.models import EngineModel, Family, ModelPart, ModelSource, Task
from server.domain.plans import RESIDENT, Plan
from server.engine.families.base import FamilyPipeline
from server.engine.families.flux import FluxFamily
from server.engine.families.sdxl import SdxlFamily
from server.engine.plans.possible import why_not
from server.engine.plans.quantization import quantise

log = logging.getLogger(__name__)

_CLASSES: Mapping[tuple[Family, Task], type[DiffusionPipeline]] = {
    (Family.SDXL, Task.TEXT): StableDiffusionXLPipeline,
    (Family.SDXL, Task.FILL): StableDiffusionXLInpaintPipeline,
    (Family.FLUX, Task.TEXT): FluxPipeline,
    (Family.FLUX, Task.FILL): FluxFillPipeline,
    (Family.FLUX, Task.EDIT): FluxKontextPipeline,
}
# What a damaged, incomplete or foreign file makes the libraries raise.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError)

# How the CPU, the CUDA driver (when it loads a kernel, say) and cuBLAS say that memory ran out.
_NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")

T = TypeVar("T")


def dtype_of(device: torch.device) -> torch.dtype:
    """Return what a model computes in: bf16 on CUDA, fp32 elsewhere.

    Its VAE, too: one that asks to be upcast (`force_upcast`) overflows in fp16, whose range is
    smaller, and diffusers upcasts it only there.
    """
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def load(model: EngineModel, device: torch.device, plan: Plan = RESIDENT) -> FamilyPipeline:
    """Return `model`, ready to be brought to `device` as `plan` says.

    Its weights are in main memory, quantised ones may be on the device.

    Raises:
        ModelUnavailableError: its files are not what the registry says, or the plan cannot be
            carried out here; found before anything is read.
        torch.OutOfMemoryError: memory is too full for it.
    """
    reason = why_not(plan, model.family, device)
    if reason is not None:
        raise ModelUnavailableError(f"model '{model.id}' cannot be held as '{plan.name}': {reason}")
    pipeline = _named(model, lambda: open_pipeline(model, dtype_of(device)))
    _check_task(model, pipeline)
    for part in model.source.parts:
        _named(model, functools.partial(_apply, pipeline, part))
    quantise(_network(model, pipeline), plan.weights, device)
    return _family(model, pipeline, device)


def _network(model: EngineModel, pipeline: DiffusionPipeline) -> Any:  # noqa: ANN401 - diffusers'
    return pipeline.unet if model.family is Family.SDXL else pipeline.transformer


def _named(model: EngineModel, work: Callable[[], T]) -> T:
    try:
        return work()
    except (ModelUnavailableError, torch.OutOfMemoryError):
        raise
    except _DAMAGE as error:
        if is_out_of_memory(error):
            raise torch.OutOfMemoryError(str(error)) from error
        log.exception("model %s did not load", model.id)
        raise ModelUnavailableError(
            f"the files of model '{model.id}' cannot be loaded ({type(error).__name__}); "
            f"`greenroom models check {model.id}` says which is damaged"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` means that memory ran out; only torch's own allocator has a type."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(said in str(error) for said in _NO_MEMORY)
    )


def open_pipeline(model: EngineModel, dtype: torch.dtype) -> DiffusionPipeline:
    """Return the pipeline of diffusers that `model`'s family and task have, without its parts.

    Raises:
        ModelUnavailableError: no pipeline has both.
    """
    source = model.source
    kind = _CLASSES.get((model.family, model.task))
    if kind is None:
        raise ModelUnavailableError(
            f"model '{model.id}' says task: {model.task}, which no {model.family} checkpoint does"
        )
    extra = {"add_watermarker": False} if model.family is Family.SDXL else {}
    if source.kind == "single_file":
        return kind.from_single_file(
            source.path, config=source.config, local_files_only=True, dtype=dtype, **extra
        )
    return kind.from_pretrained(
        source.path,
        dtype=dtype,
        variant=_variant(source),
        use_safetensors=True,
        local_files_only=True,
        **extra,
    )


def _check_task(model: EngineModel, pipeline: DiffusionPipeline) -> None:
    """Raise ModelUnavailableError where the network reads a mask and the entry says otherwise.

    A network that reads one has more channels to read than to write.
    """
    config = _network(model, pipeline).config
    fills = config.in_channels > (config.out_channels or config.in_channels)
    if fills != (model.task is Task.FILL):
        reads = "reads a picture and a mask" if fills else "reads no mask"
        raise ModelUnavailableError(
            f"the network of model '{model.id}' {reads}, but its entry says task: {model.task}"
        )


def _variant(source: ModelSource) -> str | None:
    """Return fp16 where a folder holds its weights only as `*.fp16.safetensors`."""
    names = [path.name for path in Path(source.path).glob("*/*.safetensors")]
    half = [".fp16." in name for name in names]
    return "fp16" if half and all(half) else None


def _apply(pipeline: DiffusionPipeline, part: ModelPart) -> None:
    path = Path(part.path)
    if part.kind == "unet":
        pipeline.unet.load_state_dict(load_file(path), strict=True)
        return
    pipeline.load_lora_weights(path.parent, weight_name=path.name, local_files_only=True)
    pipeline.fuse_lora(lora_scale=part.weight)
    pipeline.unload_lora_weights()  # the weights stay fused


def _family(
    model: EngineModel, pipeline: DiffusionPipeline, device: torch.device
) -> FamilyPipeline:
    if model.family is Family.FLUX:
        return FluxFamily(pipeline, model.scheduler, model.task, device=device)
    return SdxlFamily(pipeline, model.scheduler, device=device)
