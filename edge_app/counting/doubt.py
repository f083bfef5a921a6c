"""Say which crossings are doubtful: those that are wrong clearly more often than others. Pure: no clock, no I/O.

Chosen on clips whose true crossings are known (docs/doubtful.md). How long a vehicle was only predicted, how large it
is and how many detections it has tell less than these two.
"""

from __future__ import annotations

from typing import Final

_SCORE: Final = 0.5
"""Mean score of the vehicle's detections, 0..1, below which it is doubtful that there is one of this class."""
_MARGIN: Final = 0.7
"""Lead of its class over the next one in the vote of its detections, share of all votes, below which the class is."""


def is_doubtful(score: float, margin: float) -> bool:
    """Return whether a crossing is doubtful. score, margin: 0..1, of its track (`Tracker.margin`)."""
    return score < _SCORE or margin < _MARGIN
