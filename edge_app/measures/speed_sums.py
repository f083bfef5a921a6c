"""Add up speeds so that every field may be added over intervals, lines and devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edge_app.measures.speed_meter import Measured

BIN_KMH: Final = 2
"""Width of a bin, km/h."""
_SLOWEST_KMH: Final = 1.0
"""Lowest speed in `sum_inverse`, which one standing vehicle would otherwise decide alone."""


@dataclass(slots=True)
class SpeedSums:
    """Speeds of one class in one direction.

    n, unmeasured: vehicles with and without a speed. sum: of speeds, km/h; sum / n is the time mean. sum_inverse: of
    1 / speed, h/km; n / sum_inverse is the space mean. bins: lower edge, km/h -> number.
    """

    n: int = 0
    unmeasured: int = 0
    sum: float = 0.0
    sum_inverse: float = 0.0
    bins: Counter[int] = field(default_factory=Counter)

    def add(self, kmh: float | None) -> None:
        """Take one vehicle. kmh: None where its speed is not known."""
        if kmh is None:
            self.unmeasured += 1
            return
        self.n += 1
        self.sum += kmh
        self.sum_inverse += 1 / max(kmh, _SLOWEST_KMH)
        self.bins[int(kmh // BIN_KMH) * BIN_KMH] += 1

    def add_fields(self, fields: Mapping[str, Any]) -> None:
        """Take the sums of an interval, as a message has them; one that is left out is 0."""
        self.n += fields.get("n", 0)
        self.unmeasured += fields.get("unmeasured", 0)
        self.sum += fields.get("sum", 0.0)
        self.sum_inverse += fields.get("sum_inverse", 0.0)
        self.bins.update({int(edge): n for edge, n in fields.get("bins", {}).items()})

    @property
    def mean(self) -> float | None:
        """Time mean, km/h; None without a vehicle."""
        return self.sum / self.n if self.n else None

    @property
    def percentile_85(self) -> float | None:
        """Speed that 85 of 100 vehicles do not exceed, km/h; None without a vehicle."""
        return percentile(self.bins, 0.85) if self.n else None

    def as_fields(self) -> dict[str, Any]:
        """Return the fields of a message, empty bins left out."""
        bins = {str(edge): self.bins[edge] for edge in sorted(self.bins)}
        return {
            "n": self.n,
            "unmeasured": self.unmeasured,
            "sum": round(self.sum, 2),
            "sum_inverse": round(self.sum_inverse, 6),
            "bins": bins,
        }


def percentile(bins: Counter[int], share: float) -> float:
    """Return the speed, km/h, that this share of the vehicles does not exceed, even within its bin; NaN without any."""
    wanted, before = share * bins.total(), 0
    for edge in sorted(bins):
        if before + bins[edge] >= wanted > 0:
            return edge + BIN_KMH * (wanted - before) / bins[edge]
        before += bins[edge]
    return float("nan")


def by_line(measured: Iterable[Measured]) -> dict[str, dict[str, dict[str, SpeedSums]]]:
    """Return line -> class -> direction -> sums, of those with a crossing."""
    found: dict[str, dict[str, dict[str, SpeedSums]]] = {}
    for one in measured:
        crossing = one.crossing
        directions = found.setdefault(crossing.line, {}).setdefault(crossing.label, {})
        directions.setdefault(crossing.direction, SpeedSums()).add(one.speed.kmh if one.speed else None)
    return found
