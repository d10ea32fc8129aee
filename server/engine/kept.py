"""A model in memory: on the device, or waiting beside it."""

from __future__ import annotations

from dataclasses import dataclass

from server.domain.models import EngineModel, Family
from server.domain.plans import Plan, Profile, Weights
from server.engine.families.base import FamilyPipeline
from server.engine.worth import Worth

Key = tuple[str, Weights]  # of one model there may be one in full and one in fewer bits


@dataclass(slots=True, eq=False)
class Kept:
    """One model, how it is held, and what it is worth."""

    model: EngineModel
    family: FamilyPipeline
    plan: Plan
    worth: Worth
    may_grow: bool = False  # memory came back: it may lie on the device as a better plan says

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.model.id, self.plan.weights

    @property
    def is_here(self) -> bool:
        """Whether it draws at once."""
        return self.family.weights.is_here

    @property
    def can_wait(self) -> bool:
        """Whether it can leave the device without leaving main memory."""
        return self.family.weights.has_copy

    @property
    def size_bytes(self) -> int:
        """What its weights take, wherever they are."""
        return self.family.weights.size_bytes

    def plan_for(self, profile: Profile) -> Plan:
        """Return the plan that a picture is drawn with.

        Full weights serve every profile, so tiles and left-out blocks are each picture's own.
        """
        plan = self.plan
        if plan.weights == "full" and profile is not Profile.MEMORY:
            plan = plan.model_copy(update={"profile": Profile.EXACT, "decode": "whole"})
        if profile is not Profile.FAST or plan.offload == "group":
            return plan
        if self.model.family is not Family.FLUX:
            return plan
        return plan.model_copy(update={"profile": profile, "block_cache": True})

    def leave(self) -> None:
        """Leave the device, with all that was made there on the way."""
        self.family.weights.leave()
        self.family.forget()

    def follow(self, plan: Plan) -> None:
        """Be held as another plan with the same weights says."""
        self.plan = plan
        self.family.weights.follow(plan)
