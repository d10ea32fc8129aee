"""Models: what can be drawn with; for administrators also what is fetched and added."""

from __future__ import annotations
