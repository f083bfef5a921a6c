"""Put figures of devices into columns, one for each line that is drawn. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def columns_of(told: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, list[float | None]]:
    """Return name -> value of each quarter, None where it has none. told: begin, UTC s, and content of each.

    Names are those of the message with dots, such as software.stages_ms.detect.p95.
    """
    columns: dict[str, list[float | None]] = {}
    for at, (_, content) in enumerate(told):
        for name, value in _numbers(content, ""):
            columns.setdefault(name, [None] * len(told))[at] = value
    return dict(sorted(columns.items()))


def _numbers(content: Mapping[str, Any], begin: str) -> Iterator[tuple[str, float]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{begin}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{begin}{key}", value
