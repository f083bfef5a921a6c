"""Tell when looks at a line were too rare for its traffic, so that vehicles could pass unseen. Pure: no clock, no I/O.

A look is a frame in which vehicles were searched for; one that was examined for motion alone, and showed none, is one
too. The tracker finds a new vehicle again, whose speed it does not know yet, within its association radius. So the
longest gap between looks that it bridges follows from that radius, in box sizes, and from the speed of the traffic at
the line, in box sizes/s. On twelve roads with every 2nd to 25th frame, everything was counted while the fast vehicles
drove up to two thirds of the radius from look to look, and no more than 94 % from about the whole radius on; the speeds
measured with rare looks, which miss the fast ones, say the same as the true ones (docs/accuracy.md).
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

_SHARE: Final = 2 / 3
"""Share of the association radius that a fast vehicle may drive from look to look."""
_FAST: Final = 0.95
"""Quantile of the speeds that stands for the fast vehicles."""
_UNKNOWN: Final = 2.5
"""Speed, box sizes/s, of traffic that has not been seen yet: as measured beside town streets and motorways."""
_ENOUGH: Final = 20
"""Crossings from which the measured speeds alone decide."""
_REMEMBERED: Final = 100
"""Crossings whose speeds are remembered: traffic has another speed at night."""
_ISOLATED: Final = 2.0
"""A single gap may be so many times longer: by then the speed of most vehicles is known."""
_SETTLED: Final = 3
"""Number of bridged gaps after which a gap is a single one."""
_JUDGED: Final = 5
"""Newest gaps of which most must be too long for looks to be too rare: a camera that was away is no such case."""
_EPSILON_S: Final = 1e-6


class Looks:
    """Looks at one line, in order of time.

    reach: longest distance, box sizes, over which the tracker finds a vehicle of unknown speed again. lost_s: longest
    time, s, for which a track may be undetected.

    Attribute: `longest_s` is the longest gap, s, between looks that follow each other regularly which the tracker
    bridges.
    """

    def __init__(self, *, reach: float, lost_s: float) -> None:
        self._safe, self._lost_s = _SHARE * reach, lost_s
        self._speeds: deque[float] = deque(maxlen=_REMEMBERED)
        self._last: float | None = None
        self._settled = 0
        self._unbridged: deque[bool] = deque(maxlen=_JUDGED)
        self.longest_s = self._bridged_s()

    @property
    def too_rare(self) -> bool:
        """True while most gaps are longer than the tracker bridges."""
        return 2 * sum(self._unbridged) > _JUDGED

    def look(self, time: float) -> bool:
        """Take a look at `time`, monotonic s; return whether the tracker bridges the gap since the look before.

        True for the first one.
        """
        last, self._last = self._last, time
        if last is None:
            return True
        gap = time - last - _EPSILON_S
        regular = gap <= self.longest_s
        single = self._settled >= _SETTLED and gap <= min(_ISOLATED * self.longest_s, self._lost_s)
        self._settled = self._settled + 1 if regular else 0
        self._unbridged.append(not (regular or single))
        return regular or single

    def crossed(self, speed: float) -> None:
        """Note the speed of a vehicle that crossed the line, box sizes/s."""
        self._speeds.append(speed)
        self.longest_s = self._bridged_s()

    def _bridged_s(self) -> float:
        speeds = sorted([*self._speeds, *[_UNKNOWN] * (_ENOUGH - len(self._speeds))])
        # As np.quantile does it, in a tenth of its time.
        fast = float(np.interp(_FAST * (len(speeds) - 1), range(len(speeds)), speeds))
        return min(self._lost_s, self._safe / max(fast, _EPSILON_S))
