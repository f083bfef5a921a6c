"""Traffic that follows: vehicles that keep their distance, stop at a light, queue and drive on; and its exact truth.

Following is that of M. Treiber, A. Hennecke and D. Helbing: Congested traffic states in empirical observations and
microscopic simulations, 2000 (intelligent driver model).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tests.support.road_camera import SOLIDS, Array, Solid
from tests.support.road_scene import Driven

STEP_S = 0.1
_GAIN, _BRAKE, _TIME_S, _REST_M = 1.8, 2.5, 1.2, 2.0
"""Acceleration and braking, m/s2; time behind the leader, s, and distance at rest, m."""
_LABELS = ("car", "car", "car", "car", "motorcycle", "bus", "truck")


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A way over the road. points: (N, 2) m. arm: whose vehicles follow one another.

    own: m from its beginning after which it parts from the other ways of the arm. stop: m at which its light is; None
    without one.
    """

    arm: int
    points: Array
    own: float = np.inf
    stop: float | None = None

    def along(self) -> Array:
        """Return the m from the beginning of each point."""
        steps = np.hypot(*np.diff(self.points, axis=0).T)
        return np.concatenate([[0.0], np.cumsum(steps)])


@dataclass(slots=True, eq=False)
class _Driver:
    way: int
    solid: Solid
    wish: float
    since: float
    at: float = 0.0
    speed: float = 0.0
    rows: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Trip:
    """A vehicle with its way: number of the way, and m from its beginning at the times of `driven`."""

    way: int
    driven: Driven
    along: Array


def drive(
    ways: Sequence[Way],
    number: int,
    per_s: float,
    rng: np.random.Generator,
    *,
    wish: tuple[float, float] = (8.0, 14.0),
    green: Callable[[int, float], bool] = lambda _arm, _time: True,
) -> list[Trip]:
    """Return vehicles on ways chosen at random, as they follow one another.

    per_s: vehicles a second on each arm. wish: range of the speeds, m/s, that drivers wish. green: light of an arm at
    a time, s.
    """
    arms = sorted({way.arm for way in ways})
    waiting = {arm: _drivers(ways, arm, number // len(arms), per_s, rng, wish) for arm in arms}
    lengths, driving = [way.along()[-1] for way in ways], {arm: list[_Driver]() for arm in arms}
    done: list[_Driver] = []
    time = 0.0
    while any(waiting.values()) or any(driving.values()):
        for arm in arms:
            line = driving[arm]
            if waiting[arm] and waiting[arm][0].since <= time and _has_room(line, waiting[arm][0]):
                line.append(waiting[arm].pop(0))
            for index, driver in enumerate(line):
                leader = _leader(ways, line[:index], driver)
                _follow(driver, (leader, _light(ways[driver.way], driver, green=green(arm, time))), time)
            done += [driver for driver in line if driver.at >= lengths[driver.way]]
            driving[arm] = [driver for driver in line if driver.at < lengths[driver.way]]
        time += STEP_S
    return [_trip(ways, driver) for driver in sorted(done, key=lambda one: one.since)]


def _drivers(
    ways: Sequence[Way], arm: int, number: int, per_s: float, rng: np.random.Generator, wish: tuple[float, float]
) -> list[_Driver]:
    own = [index for index, way in enumerate(ways) if way.arm == arm]
    times = np.cumsum(rng.exponential(1 / per_s, number))
    return [_Driver(int(rng.choice(own)), _solid(rng), float(rng.uniform(*wish)), time) for time in times.tolist()]


def _solid(rng: np.random.Generator) -> Solid:
    solids = SOLIDS[_LABELS[rng.integers(len(_LABELS))]]
    solid = solids[rng.integers(len(solids))]
    if solid.label == "motorcycle":
        return solid
    return replace(solid, wheels=rng.uniform(0.58, 0.75), clear=rng.uniform(0.18, 0.35))


def _has_room(line: Sequence[_Driver], new: _Driver) -> bool:
    if not line:
        new.speed = new.wish
        return True
    last = line[-1]
    gap = last.at - (last.solid.length + new.solid.length) / 2
    new.speed = min(new.wish, last.speed)
    return gap > _REST_M + _TIME_S * new.speed


def _leader(ways: Sequence[Way], ahead: Sequence[_Driver], driver: _Driver) -> tuple[float, float] | None:
    """Return the gap, m, to the vehicle ahead, and its speed, m/s."""
    for leader in reversed(ahead):
        if leader.way == driver.way or leader.at < ways[leader.way].own:
            return leader.at - driver.at - (leader.solid.length + driver.solid.length) / 2, leader.speed
    return None


def _light(way: Way, driver: _Driver, *, green: bool) -> tuple[float, float] | None:
    if green or way.stop is None:
        return None
    gap = way.stop - driver.at - driver.solid.length / 2
    return (gap, 0.0) if gap > driver.speed**2 / (2 * _BRAKE) else None


def _follow(driver: _Driver, obstacles: Sequence[tuple[float, float] | None], time: float) -> None:
    gain = _GAIN * (1 - (driver.speed / driver.wish) ** 4)
    for obstacle in obstacles:
        if obstacle is not None:
            gap, speed = obstacle
            wanted = _REST_M + driver.speed * _TIME_S
            wanted += driver.speed * (driver.speed - speed) / (2 * np.sqrt(_GAIN * _BRAKE))
            gain = min(gain, _GAIN * (1 - (driver.speed / driver.wish) ** 4 - (max(wanted, 0) / max(gap, 0.1)) ** 2))
    driver.rows.append((time, driver.at))
    before, driver.speed = driver.speed, max(0.0, driver.speed + max(gain, -6.0) * STEP_S)
    driver.at += (before + driver.speed) / 2 * STEP_S


def _trip(ways: Sequence[Way], driver: _Driver) -> Trip:
    way = ways[driver.way]
    times, along = np.array(driver.rows).T
    marks = way.along()
    places, ahead = (
        np.stack([np.interp(s, marks, column) for column in way.points.T], axis=1) for s in (along, along + 0.5)
    )
    behind = np.stack([np.interp(along - 0.5, marks, column) for column in way.points.T], axis=1)
    headings = ahead - behind
    return Trip(driver.way, Driven(driver.solid, times, places, headings / np.hypot(*headings.T)[:, None]), along)


def crossed(driven: Driven, start: Array, end: Array) -> tuple[float, float, float] | None:
    """Return when, s, a vehicle's front comes to a line and its rear has left, and where along it, 0..1.

    None where it does not cross between its ends.
    """
    distance, half, along = driven.extents(start, end)
    sign = np.sign(distance[-1] - distance[0])
    front, rear = sign * distance + half, sign * distance - half
    if front[0] > 0 or rear[-1] < 0:
        return None
    came, left, middle = (float(driven.times[0]) for _ in range(3))
    came, left, middle = (_zero(driven.times, value) for value in (front, rear, sign * distance))
    position = float(np.interp(middle, driven.times, along))
    return (came, left, position) if 0 <= position <= 1 else None


def _zero(times: Array, values: Array) -> float:
    """Return the s at which values that end above 0 come above it last."""
    index = int(np.flatnonzero(values <= 0)[-1])
    part = -values[index] / (values[index + 1] - values[index])
    return float(times[index] + part * (times[index + 1] - times[index]))


def straight_road(lanes: Sequence[float], far: float, near: float, *, stop: float | None = None) -> list[Way]:
    """Return lanes along y at these x, m, from y = far to y = near. stop: y of a light."""
    at = None if stop is None else abs(far - stop)
    return [Way(arm, np.array([(x, far), (x, near)], np.float64), stop=at) for arm, x in enumerate(lanes)]


ARMS = np.array([(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)])
"""Where the arms of a junction lie, seen from its middle: towards the camera, right, away and left."""


def junction(middle: tuple[float, float], *, reach: float = 45.0, half: float = 7.0, lane: float = 1.8) -> list[Way]:
    """Return the ways from each arm to each other; vehicles keep right.

    reach, half: m from the middle to the end of an arm and to its stop line. lane: m of a lane from the arm's middle.
    """
    found = []
    for arm, out in enumerate(ARMS):
        for to, away in enumerate(ARMS):
            if to == arm:
                continue
            right, left = np.array([out[1], -out[0]]), np.array([away[1], -away[0]])
            begin, enter = out * reach - right * lane, out * half - right * lane
            leave, end = away * half + left * lane, away * reach + left * lane
            corner = _corner(enter, -out, leave, away)
            u = np.linspace(0, 1, 24)[:, None]
            turn = (1 - u) ** 2 * enter + 2 * u * (1 - u) * corner + u**2 * leave
            points = np.concatenate([begin[None], turn, end[None]]) + middle
            found.append(Way(arm, points, own=reach - half + 9.0, stop=reach - half))
    return found


def _corner(enter: Array, ahead: Array, leave: Array, away: Array) -> Array:
    """Return where the way in and the way out meet; half way between them where both go straight on."""
    if abs(float(ahead @ away)) > 0.5:
        return (enter + leave) / 2
    return np.asarray(enter + ahead * float((leave - enter) @ ahead))


def phases(arms: int, green_s: float, clear_s: float) -> Callable[[int, float], bool]:
    """Return a light that lets one arm drive after the other."""
    length = green_s + clear_s
    return lambda arm, time: int(time / length) % arms == arm and time % length < green_s
