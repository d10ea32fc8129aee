"""Noise schedulers by the names a request may use; free of torch until one is built."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.domain.models import Family

if TYPE_CHECKING:
    import torch
    from diffusers import SchedulerMixin

OWN = "default"  # how a recipe spells the checkpoint's own scheduler; None means the same


@dataclass(frozen=True, slots=True)
class SchedulerChoice:
    """A diffusers class, and what differs from the checkpoint's own scheduler config.

    Attributes:
        class_name: as diffusers exports it.
        config: what differs.
        shift: what the class calls the shift of a flow-matching checkpoint, where it is not the
            class such a checkpoint comes with.
    """

    class_name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    shift: str | None = None


_PLAIN_SIGMAS = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}
_KARRAS = _PLAIN_SIGMAS | {"use_karras_sigmas": True}
_DPMPP = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_DPMPP_SDE = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
# Diffusers' DDIM default clips latents as if they were pixels; SDXL's own config says this.
_LATENTS = {"clip_sample": False, "set_alpha_to_one": False}
_FLOW = _PLAIN_SIGMAS | {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}

SCHEDULERS: Mapping[Family, Mapping[str, SchedulerChoice]] = {
    Family.SDXL: {
        "euler": SchedulerChoice("EulerDiscreteScheduler", _PLAIN_SIGMAS),
        "euler_a": SchedulerChoice("EulerAncestralDiscreteScheduler"),
        "dpmpp_2m": SchedulerChoice("DPMSolverMultistepScheduler", _DPMPP | _PLAIN_SIGMAS),
        "dpmpp_2m_karras": SchedulerChoice("DPMSolverMultistepScheduler", _DPMPP | _KARRAS),
        "dpmpp_2m_sde": SchedulerChoice("DPMSolverMultistepScheduler", _DPMPP_SDE | _PLAIN_SIGMAS),
        "dpmpp_2m_sde_karras": SchedulerChoice("DPMSolverMultistepScheduler", _DPMPP_SDE | _KARRAS),
        # Singlestep: two predictions make one step of second order, so an odd one out is of first.
        "dpmpp_sde": SchedulerChoice(
            "DPMSolverSinglestepScheduler",
            _DPMPP_SDE | _PLAIN_SIGMAS | {"lower_order_final": True},
        ),
        "ddim": SchedulerChoice("DDIMScheduler", _LATENTS),
        "unipc": SchedulerChoice("UniPCMultistepScheduler", _PLAIN_SIGMAS),
        "lcm": SchedulerChoice("LCMScheduler", _LATENTS),
        "tcd": SchedulerChoice("TCDScheduler", _LATENTS),
        "heun": SchedulerChoice("HeunDiscreteScheduler", _PLAIN_SIGMAS),
        # Few-step weights (Lightning, Hyper) were distilled with the last timestep first.
        "euler_trailing": SchedulerChoice(
            "EulerDiscreteScheduler", _PLAIN_SIGMAS | {"timestep_spacing": "trailing"}
        ),
        "ddim_trailing": SchedulerChoice(
            "DDIMScheduler", _LATENTS | {"timestep_spacing": "trailing"}
        ),
    },
    Family.FLUX: {
        "flow_match_euler": SchedulerChoice("FlowMatchEulerDiscreteScheduler"),
        "flow_match_heun": SchedulerChoice("FlowMatchHeunDiscreteScheduler", shift="shift"),
        "dpmpp_2m": SchedulerChoice(
            "DPMSolverMultistepScheduler", _DPMPP | _FLOW, shift="flow_shift"
        ),
        "unipc": SchedulerChoice("UniPCMultistepScheduler", _FLOW, shift="flow_shift"),
    },
}


def build(family: Family, name: str | None, own: SchedulerMixin) -> SchedulerMixin:
    """Return a fresh scheduler for one picture.

    Args:
        family: decides which names there are.
        name: one of SCHEDULERS[family], or None for the checkpoint's own.
        own: the checkpoint's own scheduler, whose config (betas, prediction type) is kept.
    """
    import diffusers

    if name is None or name == OWN:
        return type(own).from_config(own.config)
    choice = SCHEDULERS[family][name]
    kind = getattr(diffusers, choice.class_name)
    if choice.shift is not None:
        return _of_flow(kind, choice.config, choice.shift, own.config)
    scheduler: SchedulerMixin = kind.from_config(own.config, **choice.config)
    return scheduler


def _of_flow(
    kind: type[SchedulerMixin], config: Mapping[str, Any], shift: str, own: Mapping[str, Any]
) -> SchedulerMixin:
    """Return a scheduler of another class with a flow-matching checkpoint's shift.

    Where the checkpoint shifts by size, the shift comes with the size, and is 1 until then.
    """
    known = inspect.signature(kind.__init__).parameters
    fixed = 1.0 if own.get("use_dynamic_shifting") else own.get("shift", own.get("flow_shift", 1.0))
    shared = {name: value for name, value in own.items() if name in known}
    scheduler: SchedulerMixin = kind.from_config({**shared, **config, shift: fixed})
    # Kept beside, as the pipelines ask the scheduler for base_shift, max_shift and the like.
    foreign = {name for name in own if name not in known and not name.startswith("_")}
    scheduler.register_to_config(**{name: own[name] for name in foreign})
    return scheduler


def step_arguments(scheduler: SchedulerMixin, generator: torch.Generator) -> dict[str, object]:
    """Return what diffusers' SDXL pipelines pass to `step`: eta 0 and the generator, where taken.

    TCD's own default of eta is not 0, and UniPC and Heun take no generator.
    """
    taken = inspect.signature(scheduler.step).parameters
    offered = {"eta": 0.0, "generator": generator}
    return {name: value for name, value in offered.items() if name in taken}
