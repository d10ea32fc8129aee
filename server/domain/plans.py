"""Plans: how a model lies on a device. Profiles: what a plan may cost in exactness."""

from __future__ import annotations

from typing import Literal

from server.domain.images import Frozen, Profile

__all__ = ["RESIDENT", "Plan", "Profile", "Weights"]

Weights = Literal["full", "int8", "fp8", "nf4"]
Encoders = Literal["resident", "evicted", "streamed"]


class Plan(Frozen):
    """How a model is held and run. Recipes say it, since two plans may draw two pictures.

    Attributes:
        weights: how the denoising network's linear layers are kept.
        encoders: `evicted` text encoders wait in main memory, and come for a prompt alone;
            `streamed` ones never lie on the device as a whole.
        offload: `group` keeps the network in main memory and streams it layer by layer.
        decode: `tiled` decodes in overlapping tiles.
        block_cache: whether a step may take up what an earlier one computed (Flux).
    """

    profile: Profile = Profile.EXACT
    weights: Weights = "full"
    encoders: Encoders = "resident"
    offload: Literal["none", "group"] = "none"
    decode: Literal["whole", "tiled"] = "whole"
    block_cache: bool = False

    @property
    def name(self) -> str:
        """The plan in a few words, such as `exact, encoders evicted`."""
        said = [self.profile.value]
        if self.weights != "full":
            said.append(self.weights)
        if self.encoders != "resident":
            said.append(f"encoders {self.encoders}")
        if self.offload != "none":
            said.append("network streamed")
        if self.decode == "tiled":
            said.append("tiled decode")
        if self.block_cache:
            said.append("block cache")
        return ", ".join(said)


RESIDENT = Plan()
