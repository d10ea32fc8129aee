"""Shares of right answers as a result file holds them, with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping

from training.storybook.measures import Share


def shares(found: Mapping[str, Share]) -> dict[str, object]:
    """Return right, of, share and interval of each attribute."""
    return {
        name: {
            "right": share.right,
            "of": share.of,
            "share": round(share.value, 4),
            "interval_95": [round(bound, 4) for bound in share.interval],
        }
        for name, share in found.items()
    }
