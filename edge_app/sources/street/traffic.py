"""Who drives when on the rendered street: random, seeded, endless, never two vehicles in one place.

Every vehicle keeps its speed, so where it is at any time, and when it passes any line, is exact arithmetic.
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
"""Bumper to bumper: m at rest, and s of the follower's speed on top."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What traffic must know of a vehicle model: its class and its length in m."""

    label: str
    length: float


@dataclass(frozen=True, slots=True)
class Lane:
    """Where and how many drive.

    heading: 1 to the right of the picture, -1 to the left. distance: m to the near wheels. kerb: m a motorcycle keeps
    further away. reach: m to either side within which the middle of a vehicle in sight is. per_minute: how many come.
    """

    heading: int
    distance: float
    kerb: float
    reach: float
    per_minute: float


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One vehicle on its way.

    kind: index of its model. heading, distance: see Lane. passes: s at which its middle is straight ahead of the
    camera. speed: m/s.
    """

    number: int
    kind: int
    heading: int
    distance: float
    passes: float
    speed: float

    def x(self, t: float) -> float:
        """M right of the camera at `t` s."""
        return self.heading * self.speed * (t - self.passes)


def vehicles(
    lane: Lane, kinds: Sequence[Kind], mix: Mapping[str, float], seed: str, numbers: Iterator[int]
) -> Iterator[Vehicle]:
    """The endless traffic of a lane in the order of its coming, from before t = 0 on.

    Arrivals are a Poisson process; who would run into the vehicle ahead anywhere within reach comes later instead.
    """
    random, wanted = Random(seed), -20.0
    ahead: tuple[Vehicle, float] | None = None
    while lane.per_minute > 0:
        wanted += random.expovariate(lane.per_minute / 60)
        label = random.choices(list(mix), list(mix.values()))[0]
        kind = random.choice([i for i, k in enumerate(kinds) if k.label == label])
        mean, spread = SPEEDS[label]
        speed = mean + spread * random.uniform(-1.7, 1.7)
        aside = lane.kerb * random.uniform(0.2, 1.0) if label == "motorcycle" else 0.0
        length = kinds[kind].length
        passes = max(wanted, _earliest(lane.reach, ahead, speed, length))
        vehicle = Vehicle(next(numbers), kind, lane.heading, lane.distance + aside, passes, speed)
        yield vehicle
        ahead = vehicle, length


class Stream:
    """Who of a lane's traffic is in sight, as time goes on; holds nobody else."""

    def __init__(self, coming: Iterator[Vehicle], reach: float) -> None:
        self._coming, self._reach = coming, reach
        self._next = next(coming, None)
        self._seen: deque[Vehicle] = deque()

    def at(self, t: float) -> deque[Vehicle]:
        """The vehicles in sight at `t` s, which never goes back."""
        while self._next is not None and self._next.passes - self._reach / self._next.speed <= t:
            self._seen.append(self._next)
            self._next = next(self._coming, None)
        while self._seen and self._seen[0].passes + self._reach / self._seen[0].speed < t:
            self._seen.popleft()
        return self._seen


def _earliest(reach: float, ahead: tuple[Vehicle, float] | None, speed: float, length: float) -> float:
    """When a follower may pass the middle: far enough behind where the leader leaves and where it enters itself."""
    if ahead is None:
        return float("-inf")
    leader, leader_length = ahead
    apart = (length + leader_length) / 2 + GAP + HEADWAY * speed
    at_exit = leader.passes + reach / leader.speed - (reach - apart) / speed
    at_entry = leader.passes + (apart - reach) / leader.speed + reach / speed
    return max(at_exit, at_entry)
