"""How long a look at the database that is repeated rests, so that it takes only a share of the time. Pure."""

from __future__ import annotations

from typing import Final

LONGEST_S: Final = 60.0
"""A database that did not answer for a while says nothing of how much there is to read."""


def rest_after(took: float, *, least: float, times: int = 30) -> float:
    """Return the time until the next look, s: so many times as long as this one took, at least `least`. took: s."""
    return min(max(least, times * took), max(least, LONGEST_S))
