"""Draw the traffic of a street: two peaks on working days, a slow Saturday, a quiet Sunday. Pure: no clock, no I/O."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from edge_app.city.records import Vector
from edge_app.measures.speed_sums import SpeedSums
from edge_app.records import DIRECTIONS, VEHICLES, Crossing

_SHARES: Final[Mapping[str, float]] = {"car": 0.78, "motorcycle": 0.07, "bus": 0.02, "truck": 0.06, "bicycle": 0.07}
_SPEEDS: Final[Mapping[str, float]] = {"car": 1.0, "motorcycle": 1.02, "bus": 0.88, "truck": 0.9, "bicycle": 0.45}
WAYS: Final = [(label, direction) for label in VEHICLES for direction in DIRECTIONS]
"""Class and direction of each number of a vector."""
_WEEKDAY: Final = (1.0, 1.0, 1.02, 1.04, 1.08, 0.74, 0.55)
"""Monday to Sunday."""
_PEAKS: Final = ((7.9, 1.3, 0.9), (12.8, 2.6, 0.5), (17.2, 1.7, 1.0))
"""Hour, width in hours and height."""
_NIGHT: Final = 0.03


@dataclass(frozen=True, slots=True)
class Street:
    """A street. busiest: vehicles an hour at its peak, both directions. inbound: share of them that drives left to
    right in the morning. time_zone: by which its people get up. kmh: usual speed, 0 where it is not measured."""

    name: str
    busiest: float
    inbound: float
    time_zone: ZoneInfo
    kmh: float = 0.0

    def rate(self, at: float) -> Vector:
        """Return vehicles an hour by class and direction, rounded up to whole thousandths. at: UTC s."""
        local = datetime.fromtimestamp(at, self.time_zone)
        hour, weekday = local.hour + local.minute / 60 + local.second / 3600, local.weekday()
        shape = _day(hour) if weekday < 5 else 0.9 * math.exp(-(((hour - 14.5) / 4.2) ** 2)) + _NIGHT
        season = 1 + 0.08 * math.sin(2 * math.pi * (local.timetuple().tm_yday - 100) / 365)
        total = self.busiest * shape * _WEEKDAY[weekday] * season
        lean = (self.inbound - 0.5) * math.cos(math.pi * min(max((hour - 6) / 12, 0.0), 1.0))
        sides = 0.5 + lean, 0.5 - lean
        return tuple(
            math.ceil(1000 * total * _share(name, hour, local.timetuple().tm_yday) * sides[side])
            for name in VEHICLES
            for side in range(len(DIRECTIONS))
        )

    def vehicles(self, start: int, end: int) -> Vector:
        """Return how many pass in a span of time: the same at every call. start, end: UTC s."""
        seed = zlib.crc32(f"{self.name} {start}".encode())
        rates = np.array(self.rate((start + end) / 2)) / 1000
        drawn = np.random.default_rng(seed).poisson(rates * (end - start) / 3600)
        return tuple(int(n) for n in drawn)

    def crossings(self, line: str, start: int, end: int, frame: int = 0) -> Iterator[Crossing]:
        """Yield those vehicles as they cross a line, spread over the time. start, end: UTC s. frame: its number."""
        for (label, direction), many in zip(WAYS, self.vehicles(start, end), strict=True):
            for number in range(many):
                at = start + (end - start) * number / many
                yield Crossing(at, frame, frame, label, line, direction, 0.9)

    def speeds(self, start: int, end: int, counts: Vector) -> dict[str, Any]:
        """Return the speeds of the vehicles of a span of time, as a message has them; {} where none are measured.

        On a full street all drive slower; one vehicle in thirty cannot be measured.
        """
        if not self.kmh or not any(counts):
            return {}
        drawn = np.random.default_rng(zlib.crc32(f"{self.name} {start} km/h".encode()))
        full = min(1.0, sum(self.rate((start + end) / 2)) / 1000 / (2 * self.busiest))
        sums: dict[str, dict[str, SpeedSums]] = {}
        for (label, direction), many in zip(WAYS, counts, strict=True):
            for kmh in drawn.normal(self.kmh * _SPEEDS[label] * (1.05 - 0.2 * full), 0.14 * self.kmh, many):
                told = None if drawn.random() < 1 / 30 else max(5.0, float(kmh))
                sums.setdefault(label, {}).setdefault(direction, SpeedSums()).add(told)
        return {label: {way: one.as_fields() for way, one in ways.items()} for label, ways in sums.items()}


def _day(hour: float) -> float:
    return _NIGHT + sum(height * math.exp(-(((hour - peak) / width) ** 2)) for peak, width, height in _PEAKS)


def _share(name: str, hour: float, day: int) -> float:
    """Bicycles are a matter of the season, lorries one of working hours."""
    if name == "bicycle":
        return _SHARES[name] * (1 - 0.6 * math.cos(2 * math.pi * (day - 15) / 365))
    if name == "truck":
        return _SHARES[name] * (1.4 if 6 <= hour < 16 else 0.4)
    return _SHARES[name]
