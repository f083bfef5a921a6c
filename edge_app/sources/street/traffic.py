"""Create the traffic of the rendered street: random, seeded, endless, and without collisions.

Every vehicle keeps its speed, so that its position at any time, and the time at which it crosses a line, can be
calculated exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

SPEEDS: Final[Mapping[str, tuple[float, float]]] = {
    "car": (8.6, 0.9),
    "motorcycle": (9.0, 1.0),
    "bus": (7.4, 0.5),
    "truck": (7.6, 0.6),
}
"""Mean and spread, m/s."""
GAP, HEADWAY = 2.0, 0.55
"""Smallest distance from bumper to bumper: m at rest, plus s of the follower's speed."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Class and length, m, of a vehicle model."""

    label: str
    length: float


@dataclass(frozen=True, slots=True)
class Lane:
    """Lane of the street.

    heading: 1 to the right of the picture, -1 to the left. distance: m from the camera to the near wheels. kerb: m by
    which a motorcycle drives further from the camera. reach: m to either side within which the middle of a visible
    vehicle lies. per_minute: vehicles per minute.
    """

    heading: int
    distance: float
    kerb: float
    reach: float
    per_minute: float


@dataclass(frozen=True, slots=True)
class Vehicle:
    """Vehicle in the traffic.

    kind: index of its model. heading, distance: see `Lane`. passes: s at which its middle is straight ahead of the
    camera. speed: m/s.
    """

    number: int
    kind: int
    heading: int
    distance: float
    passes: float
    speed: float

    def x(self, t: float) -> float:
        """Return the metres right of the camera at `t` s."""
        return self.heading * self.speed * (t - self.passes)


def lane_traffic(
    lane: Lane, kinds: Sequence[Kind], mix: Mapping[str, float], seed: str, numbers: Iterator[int]
) -> Iterator[Vehicle]:
    """Yield the endless traffic of a lane in order, from before t = 0 on.

    mix: share of each class. numbers: of the vehicles. Arrivals are a Poisson process; a vehicle that would collide
    with the one ahead anywhere within reach comes later instead.
    """
    random, arrival = Random(seed), -20.0
    ahead: tuple[Vehicle, float] | None = None
    while lane.per_minute > 0:
        arrival += random.expovariate(lane.per_minute / 60)
        label = random.choices(list(mix), list(mix.values()))[0]
        kind = random.choice([i for i, k in enumerate(kinds) if k.label == label])
        mean, spread = SPEEDS[label]
        speed = mean + spread * random.uniform(-1.7, 1.7)
        offset = lane.kerb * random.uniform(0.2, 1.0) if label == "motorcycle" else 0.0
        length = kinds[kind].length
        passes = max(arrival, _earliest(lane.reach, ahead, speed, length))
        vehicle = Vehicle(next(numbers), kind, lane.heading, lane.distance + offset, passes, speed)
        yield vehicle
        ahead = vehicle, length


class VisibleTraffic:
    """Vehicles of a lane that are visible as time goes on; it holds no others."""

    def __init__(self, traffic: Iterator[Vehicle], reach: float) -> None:
        self._traffic, self._reach = traffic, reach
        self._next = next(traffic, None)
        self._visible: deque[Vehicle] = deque()

    def at(self, t: float) -> deque[Vehicle]:
        """Return the vehicles that are visible at `t` s; t may never decrease."""
        while self._next is not None and self._next.passes - self._reach / self._next.speed <= t:
            self._visible.append(self._next)
            self._next = next(self._traffic, None)
        while self._visible and self._visible[0].passes + self._reach / self._visible[0].speed < t:
            self._visible.popleft()
        return self._visible


def _earliest(reach: float, ahead: tuple[Vehicle, float] | None, speed: float, length: float) -> float:
    """Return the earliest time, s, at which a follower may pass the middle.

    It must have its distance both where the leader leaves the reach and where it enters it itself.
    """
    if ahead is None:
        return float("-inf")
    leader, leader_length = ahead
    apart = (length + leader_length) / 2 + GAP + HEADWAY * speed
    at_exit = leader.passes + reach / leader.speed - (reach - apart) / speed
    at_entry = leader.passes + (apart - reach) / leader.speed + reach / speed
    return max(at_exit, at_entry)
