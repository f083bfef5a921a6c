"""Add up what was measured beside the counts: speeds by hour and direction, turning flows, doubtful crossings. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from edge_app.measures.speed_sums import SpeedSums
from edge_app.records import DIRECTIONS


def add_speeds(contents: Iterable[tuple[Mapping[str, Any], bool]]) -> dict[str, SpeedSums]:
    """Return direction -> speeds. contents: measures of intervals, and whether their line is turned at the site."""
    sums: dict[str, SpeedSums] = {direction: SpeedSums() for direction in DIRECTIONS}
    for content, turned in contents:
        for label in content.get("speed", {}).values():
            for at, direction in enumerate(DIRECTIONS):
                if fields := label.get(DIRECTIONS[at ^ turned]):
                    sums[direction].add_fields(fields)
    return sums


def doubtful_of(measures: str) -> int:
    """Return how many crossings of an interval are doubtful. measures: JSON, empty without any."""
    if '"doubtful"' not in measures:
        return 0
    return sum(json.loads(measures).get("doubtful", {}).values())


def add_flows(contents: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str, int]]:
    """Return (from, to, class, vehicles), sorted. contents: those of messages on `flows`."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for content in contents:
        sums.update({(origin, to, label): n for origin, to, label, n in _leaves(content)})
    return [(*way, n) for way, n in sorted(sums.items())]


def _leaves(content: Mapping[str, Any]) -> Iterator[tuple[str, str, str, int]]:
    for origin, exits in content.get("flows", {}).items():
        for to, by_class in exits.items():
            for label, n in by_class.items():
                yield origin, to, label, n
