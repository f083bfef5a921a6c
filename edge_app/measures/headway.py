"""Sum up headways by lane: the time from the front of one vehicle at the line to the front of the next.

Definition: Highway Capacity Manual, 7th edition 2022, chapter 4.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

EDGES_S: Final = (1, 2, 3, 5, 10, 30)
"""Upper edges, s, of the bins; what is longer is `ABOVE`."""
ABOVE: Final = "above"
ANY: Final = 0
"""Lane of a vehicle that may have passed in any."""
CONFIRMED_S: Final = 3.0
"""Time, s, after which no crossing is confirmed any more: until then vehicles may still be put in order."""


@dataclass(frozen=True, slots=True, order=True)
class Front:
    """Front of a counted vehicle at the line.

    at: s. lane: from 1; `ANY` where only `crossed` is known, the s at which the crossing is counted: then no headway
    is told to it, and none from it.
    """

    at: float
    lane: int
    crossed: float


def bin_of(headway: float) -> str:
    """Return the name of the bin of a headway, s: its upper edge, which belongs to it, or `ABOVE`."""
    index = bisect_left(EDGES_S, headway)
    return str(EDGES_S[index]) if index < len(EDGES_S) else ABOVE


class Headways:
    """Headways at one line; times are those of the frames, s, and may belong to any clock that never steps."""

    def __init__(self) -> None:
        self._waiting: list[Front] = []
        self._leaders: dict[int, float] = {}
        self._breaks: deque[float] = deque()
        self._done: list[tuple[float, int, str]] = []

    def unseen(self, time: float) -> None:
        """Note that a vehicle may have passed unseen just before a time, s: no headway is told across it."""
        self._breaks.append(time)

    def cross(self, front: Front) -> None:
        """Take a counted vehicle; within `CONFIRMED_S` they may come in any order."""
        insort(self._waiting, front)

    def go_on(self, now: float) -> None:
        """Take what is certain at a time, s, in order: of vehicles that crossed since `now` nothing is missing."""
        while self._waiting and self._waiting[0].at <= now - CONFIRMED_S:
            self._follow(self._waiting.pop(0))
        while len(self._breaks) > 1 and self._breaks[1] < now - 2 * CONFIRMED_S:
            self._breaks.popleft()

    def take(self, until: float) -> dict[int, Counter[str]]:
        """Return lane -> bin -> number of the headways whose follower crossed before a time, s, and forget them."""
        found: dict[int, Counter[str]] = {}
        for crossed, lane, name in self._done:
            if crossed < until:
                found.setdefault(lane, Counter())[name] += 1
        self._done = [one for one in self._done if one[0] >= until]
        return found

    def _follow(self, front: Front) -> None:
        if front.lane == ANY:
            self._leaders.clear()
            return
        leader = self._leaders.get(front.lane)
        self._leaders[front.lane] = front.at
        if leader is not None and not any(leader < at <= front.at for at in self._breaks):
            self._done.append((front.crossed, front.lane, bin_of(front.at - leader)))
