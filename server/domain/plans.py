"""Plans: how a model lies on a device. Profiles: what a plan may cost in exactness."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from server.domain.images import Frozen


class Profile(StrEnum):
    """What a picture may give up. Only EXACT is used unless the model or the request allows more.

    EXACT: the reference picture, wherever the weights wait. MEMORY: 8 or 4 bits a weight, decoding
    in tiles. FAST: 8-bit arithmetic, and blocks that hardly change are not computed again.
    """

    EXACT = "exact"
    MEMORY = "memory"
    FAST = "fast"


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
