"""Intervals for the tests of the city side."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid5

from edge_app.city.records import COLUMNS, NONE, Interval, LineName, Settings, Vector, added

NAME = LineName("harbour", "pole-7", "quay-road")
START = 1_795_000_020  # a whole minute
_SPACE = UUID("8b0cbb0e-31a7-4b7a-a4a9-6c3a4f3c1d10")


def vector(car_left: int = 0, **others: int) -> Vector:
    """Return a vector of counts: cars from left to right, and others by their column."""
    values = {"car_left_to_right": car_left, **others}
    return tuple(values.get(column, 0) for column in COLUMNS)


def series(
    many: int,
    *,
    name: LineName = NAME,
    installation: str = "5b1f09c4",
    start: int = START,
    length: int = 60,
    cars: int = 1,
    flags: str = "",
    coverage: float = 1.0,
) -> list[Interval]:
    """Return consecutive intervals with numbers from 1: the n-th has n times `cars` cars."""
    made, totals = [], NONE
    for seq in range(1, many + 1):
        counts = vector(cars * seq)
        totals = added(totals, counts)
        at = start + (seq - 1) * length
        made.append(
            Interval(
                id=uuid5(_SPACE, f"{name} {installation} {seq} {at}"),
                name=name,
                installation=installation,
                seq=seq,
                start=at,
                end=at + length,
                counts=counts,
                totals=totals,
                coverage=coverage,
                frames=15 * length,
                dropped=0,
                settings=Settings("e5f5da65719a", "c222920fa583", "f15d29bef54a", float(length), flags),
            )
        )
    return made


def changed(interval: Interval, **values: object) -> Interval:
    """Return an interval with other values."""
    return replace(interval, **values)  # type: ignore[arg-type]
