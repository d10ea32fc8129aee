"""How much a layer's change counts, where a file says it in words: diffusers' own metadata.

Other files have an alpha beside each layer, or none at all, which means alpha = rank.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.domain.errors import AdapterError
from server.engine.adapters.header import Header

_KEY = "lora_adapter_metadata"


@dataclass(frozen=True, slots=True)
class Alphas:
    """What the metadata says: PEFT's settings, each with its component before a dot."""

    settings: Mapping[str, Any]

    @classmethod
    def of(cls, header: Header) -> Alphas:
        """Return what the file of `header` says.

        Raises:
            AdapterError: it is damaged, or says a kind that is not drawn with.
        """
        try:
            settings = json.loads(header.metadata.get(_KEY, "{}"))
        except (ValueError, RecursionError) as error:
            raise AdapterError(f"its metadata '{_KEY}' is damaged") from error
        if not isinstance(settings, dict):
            raise AdapterError(f"its metadata '{_KEY}' is damaged")
        for name, value in settings.items():
            if value is True and name.endswith((".use_dora", ".lora_bias")):
                raise AdapterError(f"this adapter says '{name}', which is not drawn with")
        return cls(settings)

    def scale(self, component: str, path: str, rank: int) -> float:
        """Return what a layer without an alpha beside it is multiplied with.

        Raises:
            AdapterError: the metadata says something else than a number.
        """
        alpha = self._alpha(component, path)
        if alpha is None:
            return 1.0
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
            raise AdapterError(f"its metadata has {alpha!r} for an alpha")
        if not math.isfinite(alpha):
            raise AdapterError(f"its metadata has {alpha!r} for an alpha")
        stabilised = self.settings.get(f"{component}.use_rslora") is True
        return alpha / (math.sqrt(rank) if stabilised else rank)

    def _alpha(self, component: str, path: str) -> Any:  # noqa: ANN401 - whatever was written
        pattern = self.settings.get(f"{component}.alpha_pattern")
        if isinstance(pattern, dict):
            for ending, alpha in pattern.items():
                if f".{path}".endswith(f".{ending}"):
                    return alpha
        return self.settings.get(f"{component}.lora_alpha")
