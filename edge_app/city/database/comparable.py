"""Know which lines were moved so that what they count can be compared with before: a person has said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from edge_app.city.database.engine import insert_new
from edge_app.city.database.tables import COMPARABLE

_DIGITS = 4
"""Of a place in the picture, 0..1: as exact as lines are saved."""


def note_comparable(
    connection: Connection,
    device: tuple[str, str],
    drawn: Mapping[str, Sequence[Sequence[float]]],
    who: str,
    at: float,
) -> None:
    """Note that counts of lines that lie so can be compared with those of before. drawn: line -> its two ends."""
    rows = [
        {"topic_site": device[0], "device": device[1], "line": line, "drawn": _text(ends), "who": who, "at": int(at)}
        for line, ends in drawn.items()
    ]
    insert_new(connection, COMPARABLE, rows)


def is_comparable(connection: Connection, device: tuple[str, str], line: str, drawn: Sequence[Any]) -> bool:
    """Return whether somebody has said so of a line whose two ends lie there."""
    where = COMPARABLE.c.topic_site == device[0], COMPARABLE.c.device == device[1], COMPARABLE.c.line == line
    return connection.execute(select(COMPARABLE).where(*where, COMPARABLE.c.drawn == _text(drawn))).first() is not None


def _text(ends: Sequence[Any]) -> str:
    return " ".join(f"{float(value):.{_DIGITS}f}" for end in ends for value in end)
