"""How each model would run here, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass

from server.cli.doctor_checks import Device, Facts
from server.domain.models import ModelState
from server.registry.registry import Registry

_FP32_FACTOR = 2  # needs_vram_gib is reckoned for bf16


@dataclass(frozen=True, slots=True)
class Plan:
    """What would happen to one model; `fits` is None where its need is not known."""

    id: str
    state: str
    device: str | None
    dtype: str | None
    fits: bool | None
    plan: str
    why: str


def plans(registry: Registry, facts: Facts) -> tuple[Plan, ...]:
    """Return a plan for every model; so far there is one: all of it on the device."""
    usable = [device for device in facts.devices if device.error is None]
    best = max(usable, key=lambda device: (device.id != "cpu", device.total_bytes), default=None)
    return tuple(_plan(registry, info.id, best) for info in registry.infos())


def _plan(registry: Registry, model_id: str, device: Device | None) -> Plan:
    state, reason = registry.status(model_id)
    if state in (ModelState.BROKEN, ModelState.UNSUPPORTED):
        return Plan(model_id, state.value, None, None, None, "none", reason or "")
    if device is None:
        return Plan(model_id, state.value, None, None, None, "none", "no device can be used")
    fits, why = _fits(registry.info(model_id).needs_vram_gib, device)
    plan = f"resident on {device.id}, {device.dtype}" if fits is not False else "none"
    return Plan(model_id, state.value, device.id, device.dtype, fits, plan, why)


def _fits(needs_gib: float | None, device: Device) -> tuple[bool | None, str]:
    if needs_gib is None:
        return None, "its entry does not say what it needs"
    need = needs_gib * (_FP32_FACTOR if device.dtype == "float32" else 1)
    have = device.total_bytes / 2**30
    return need <= have, f"needs {need:g} GiB, {device.id} has {have:.1f} GiB"
