"""Render a street as a camera would see it: endless seeded traffic in two directions, with its exact truth."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from threading import Event
from typing import Final, Literal

import cv2
import numpy as np

from edge_app.errors import SourceEnded
from edge_app.records import Crossing, Direction, Frame, Image, Line
from edge_app.sources import SourceStatus, State
from edge_app.sources.street.scenery import Scenery
from edge_app.sources.street.traffic import Kind, Lane, Vehicle, VisibleTraffic, lane_traffic
from edge_app.sources.street.vehicles import Sprite, draw_models, make_sprite
from edge_app.sources.street.view import View

MIX: Final[Mapping[str, float]] = {"car": 0.62, "motorcycle": 0.30, "bus": 0.03, "truck": 0.05}
"""Share of each class."""
EPOCH: Final = 1_780_300_800.0
"""UTC s of frame 0 by default: 2026-06-01T08:00:00Z."""
LINE: Final = Line("street", (0.5, 0.97), (0.5, 0.36), {"left_to_right": "eastbound", "right_to_left": "westbound"})
"""Line across both lanes in the middle of the picture."""

_NEAR, _FAR = (16.3, -0.2), (20.4, 0.2)  # distance of a lane, and by how much motorcycles drive further away, m
_CYCLE_S: Final = 180.0
_GRAIN: Final = 64  # px by which the noise pattern is shifted at most from frame to frame


class Street:
    """Source of a rendered street, for one thread.

    width, height: px. fps: frames/s.
    seed: the same seed gives the same traffic and, at pace "fast", the same pixels.
    light: "cycle" goes from day to dusk and back in three minutes.
    flow: vehicles per minute to the right and to the left. mix: share of each class.
    start_at: UTC s of frame 0; None is EPOCH, at pace "real" the time of the first read.
    pace: "fast" renders at each read, on the media clock; "real" delivers as a camera does, and leaves out frames that
    were not read in time.
    seconds: length, None for endless. clock, wall, sleep: for pace "real".
    """

    line: Final = LINE

    def __init__(
        self,
        *,
        width: int = 1280,
        height: int = 720,
        fps: float = 15.0,
        seed: int = 1,
        light: Literal["day", "dusk", "cycle"] = "day",
        flow: tuple[float, float] = (14.0, 14.0),
        mix: Mapping[str, float] = MIX,
        start_at: float | None = None,
        pace: Literal["fast", "real"] = "fast",
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._view, self._fps, self._seed, self._light, self._mix = View(width, height), fps, seed, light, dict(mix)
        self._frames = math.inf if seconds is None else round(seconds * fps)
        self.live = pace == "real"
        self._closed = Event()
        self._clock, self._wall, self._sleep = clock, wall, sleep or self._closed.wait
        self._start_at, self._started = start_at, None if self.live else 0.0
        self._models = draw_models(self._view, sum(_NEAR))
        self._lanes = self._make_lanes(flow)
        self._visible = [
            VisibleTraffic(traffic, lane.reach) for lane, traffic in zip(self._lanes, self._traffic(), strict=True)
        ]
        self._sprites: dict[int, Sprite] = {}
        self._sceneries = tuple(Scenery(self._view, seed, dusk=dusk).image for dusk in (False, True))
        self._noise = np.random.default_rng(seed).integers(0, 9, (height + _GRAIN, width + _GRAIN, 3), np.uint8)
        self._next = 0
        self._state: State = "opening"

    @property
    def status(self) -> SourceStatus:
        return SourceStatus(self._state, self._view.width, self._view.height, self._fps)

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame, or None when it is not due within `timeout` s.

        Raises SourceEnded: after the `seconds` of the street and after close().
        """
        due = not self.live or self._wait_until_due(timeout)
        if self._closed.is_set() or self._next >= self._frames:
            self._state = "ended"
            raise SourceEnded("The rendered street is over.")
        if not due:
            return None
        index, self._next, self._state = self._next, self._next + 1, "ok"
        at = index / self._fps
        return Frame(self._render(index), index, self.start_at + at, (self._started or 0.0) + at, at)

    def close(self) -> None:
        self._closed.set()
        self._state = "ended"

    @property
    def start_at(self) -> float:
        """UTC s of frame 0; at pace "real" known from the first read on."""
        return EPOCH if self._start_at is None else self._start_at

    def boxes(self) -> list[tuple[int, str, tuple[float, float, float, float]]]:
        """Return number, true label and px box of every vehicle in the last frame, hidden or not, far lane first."""
        t = (self._next - 1) / self._fps
        return [(v.number, self._models[v.kind].label, self._box(v, t)) for v in self._visible_vehicles(t)]

    def truth(self, until: float, *, since: float = 0.0, line: Line = LINE) -> list[Crossing]:
        """Return every crossing of `line` from `since` to before `until`, in s after frame 0, in order of time.

        A vehicle crosses when the centre of its box, hidden parts included, passes the segment; `frame` is the first
        one after that. Nothing is stored for this: the traffic of the seed is created again, without pictures, at about
        5 µs a vehicle. Any thread may call it.
        """
        crossings = []
        for lane, traffic in zip(self._lanes, self._traffic(), strict=True):
            for vehicle in traffic:
                if vehicle.passes - lane.reach / vehicle.speed >= until:
                    break
                passing = self._passing(vehicle, line)
                if passing and since <= passing[0] < until:
                    crossings.append(self._crossing(vehicle, line, *passing))
        return sorted(crossings, key=lambda crossing: crossing.at)

    def speeds(self, until: float) -> dict[int, float]:
        """Return the speed, m/s, of every vehicle that is seen before `until`, s after frame 0, by its number."""
        found = {}
        for lane, traffic in zip(self._lanes, self._traffic(), strict=True):
            for vehicle in traffic:
                if vehicle.passes - lane.reach / vehicle.speed >= until:
                    break
                found[vehicle.number] = vehicle.speed
        return found

    def _make_lanes(self, flow: tuple[float, float]) -> tuple[Lane, ...]:
        margin = max(model.length for model in self._models) / 2 + 1.0
        return tuple(
            Lane(heading, distance, kerb, self._view.reach(distance + abs(kerb)) + margin, per_minute)
            for heading, (distance, kerb), per_minute in zip((1, -1), (_NEAR, _FAR), flow, strict=True)
        )

    def _traffic(self) -> list[Iterator[Vehicle]]:
        kinds = [Kind(model.label, model.length) for model in self._models]
        return [
            lane_traffic(lane, kinds, self._mix, f"{self._seed} {lane.heading}", count(i, len(self._lanes)))
            for i, lane in enumerate(self._lanes)
        ]

    def _wait_until_due(self, timeout: float) -> bool:
        """Wait until the next frame is due; return False when that is more than `timeout` s away."""
        if self._started is None:
            self._started = self._clock()
            self._start_at = self._wall() if self._start_at is None else self._start_at
        elapsed = self._clock() - self._started
        self._next = max(self._next, int(elapsed * self._fps))
        ahead = self._next / self._fps - elapsed
        self._sleep(max(0.0, min(ahead, timeout)))
        return ahead <= timeout

    def _visible_vehicles(self, t: float) -> list[Vehicle]:
        """Return the visible vehicles, far ones first, since near ones hide them."""
        visible = [vehicle for lane in self._visible for vehicle in lane.at(t)]
        return sorted(visible, key=lambda vehicle: -vehicle.distance)

    def _render(self, index: int) -> Image:
        t = index / self._fps
        darkness = self._darkness(t)
        image = self._scenery(darkness)
        visible = self._visible_vehicles(t)
        self._sprites = {v.number: self._sprites.get(v.number) or self._sprite(v, darkness) for v in visible}
        for vehicle in visible:
            _blend(image, self._sprites[vehicle.number], self._view.project(vehicle.x(t), vehicle.distance))
        x, y = index * 37 % _GRAIN, index * 23 % _GRAIN
        cv2.add(image, self._noise[y : y + self._view.height, x : x + self._view.width], dst=image)
        return image

    def _darkness(self, t: float) -> float:
        if self._light == "cycle":
            return 0.5 - 0.5 * math.cos(2 * math.pi * t / _CYCLE_S)
        return float(self._light == "dusk")

    def _scenery(self, darkness: float) -> Image:
        day, dusk = self._sceneries
        if 0 < darkness < 1:
            return np.asarray(cv2.addWeighted(day, 1 - darkness, dusk, darkness, 0), np.uint8)
        return np.array(dusk if darkness else day)

    def _sprite(self, vehicle: Vehicle, darkness: float) -> Sprite:
        return make_sprite(self._models[vehicle.kind], self._view.scale(vehicle.distance), vehicle.heading, darkness)

    def _box(self, vehicle: Vehicle, t: float) -> tuple[float, float, float, float]:
        (x, y), (x0, y0, x1, y1) = self._view.project(vehicle.x(t), vehicle.distance), self._sprites[vehicle.number].box
        return x + x0, y + y0, x + x1, y + y1

    def _passing(self, vehicle: Vehicle, line: Line) -> tuple[float, Direction] | None:
        """Return time, s, and direction in which the centre of the vehicle's box passes the segment, or None.

        The centre moves horizontally at constant speed.
        """
        ahead, up = self._models[vehicle.kind].middle
        _, y = self._view.project(0, vehicle.distance, up)
        (x0, y0), (x1, y1) = ((x * self._view.width, y * self._view.height) for x, y in (line.start, line.end))
        if (y0 > y) == (y1 > y):
            return None
        metres = (x0 + (x1 - x0) * (y - y0) / (y1 - y0) - self._view.width / 2) / self._view.scale(vehicle.distance)
        t = vehicle.passes + (metres * vehicle.heading - ahead) / vehicle.speed
        return t, "left_to_right" if (y0 - y1) * vehicle.heading > 0 else "right_to_left"

    def _crossing(self, vehicle: Vehicle, line: Line, t: float, direction: Direction) -> Crossing:
        label = self._models[vehicle.kind].label
        return Crossing(self.start_at + t, math.ceil(t * self._fps), vehicle.number, label, line.id, direction, 1.0)


def _blend(image: Image, sprite: Sprite, at: tuple[float, float]) -> None:
    """Blend the part of the sprite that lies in the picture into it, with the sprite's origin at `at`."""
    x, y = round(at[0] - sprite.origin[0]), round(at[1] - sprite.origin[1])
    height, width = sprite.transparency.shape[:2]
    x0, y0, x1, y1 = max(0, x), max(0, y), min(image.shape[1], x + width), min(image.shape[0], y + height)
    if x0 >= x1 or y0 >= y1:
        return
    area, part = image[y0:y1, x0:x1], np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
    cv2.multiply(area, sprite.transparency[part], dst=area, scale=1 / 255)
    cv2.add(area, sprite.colour[part], dst=area)
