"""Courses of roads: the points of a line on the map, degrees east and north, read from text and written as it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeAlias

Point: TypeAlias = tuple[float, float]
"""Degrees east and north (WGS 84), in the order of GeoJSON and WKT."""
LEAST_POINTS: Final = 2
MOST_POINTS: Final = 500
DIGITS: Final = 7
"""Of a degree that are kept: a centimetre."""
_WKT: Final = re.compile(r"(?:SRID=4326;)?\s*LINESTRING\s*Z?\s*\((.*)\)", re.IGNORECASE | re.DOTALL)
_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)


def points_of(text: str) -> list[Point]:
    """Return the points of a text: WKT as `LINESTRING (4.89 52.37, 4.9 52.38)`, or `4.89 52.37; 4.9 52.38`.

    A third number of a point, its height, is left out. Raises ValueError: for any other text.
    """
    text = text.strip()
    wkt = _WKT.fullmatch(text)
    parts = [part.split() for part in (wkt[1].split(",") if wkt else text.split(";"))]
    if not all(len(part) in (2, 3) and all(map(_NUMBER.fullmatch, part)) for part in parts):
        raise ValueError(text)
    return [(float(part[0]), float(part[1])) for part in parts]


def wkt_of(points: Sequence[Point]) -> str:
    """Return points as WKT."""
    return f"LINESTRING ({', '.join(f'{east} {north}' for east, north in points)})"


def middle_of(points: Sequence[Point]) -> Point:
    """Return the point halfway along a course, which has two different points at least."""
    # Streets are short: a degree east is everywhere as long as in their middle.
    narrow = math.cos(math.radians(sum(north for _, north in points) / len(points)))
    lengths = [math.hypot((b[0] - a[0]) * narrow, b[1] - a[1]) for a, b in pairwise(points)]
    left = sum(lengths) / 2
    for (a, b), length in zip(pairwise(points), lengths, strict=True):
        if length and left <= length:
            share = left / length
            return round(a[0] + share * (b[0] - a[0]), DIGITS), round(a[1] + share * (b[1] - a[1]), DIGITS)
        left -= length
    return points[-1]
