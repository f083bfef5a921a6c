"""Find which numbers are missing, and note those that will never come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from edge_app.city.database.tables import LINE, SERIES
from edge_app.city.numbers import Numbers, Range
from edge_app.city.records import NONE, Gap, LineName


def numbered_series(connection: Connection) -> Iterable[Any]:
    """Return the rows of all series that have numbers, with the names of their lines, in the order of lines."""
    return connection.execute(
        select(LINE.c.topic_site, LINE.c.device, LINE.c.name, SERIES)
        .join(LINE, LINE.c.id == SERIES.c.line_id)
        .where(SERIES.c.installation != "")
        .order_by(SERIES.c.line_id, SERIES.c.id)
    )


def find_gaps(connection: Connection) -> Iterator[Gap]:
    """Yield every gap, in the order of lines."""
    for row in numbered_series(connection):
        for first, last in gaps_of(row):
            yield Gap(LineName(row.topic_site, row.device, row.name), row.installation, first, last)


def gaps_of(row: Any) -> Iterator[tuple[int, int]]:
    """Yield the gaps of a row of the table `series`."""
    numbers = Numbers(Range(a, b, NONE, NONE) for a, b, *_ in row.ranges)
    return numbers.gaps(row.newest_told, [(first, last) for first, last, _ in row.gone])


def note_newest(connection: Connection, newest: Mapping[int, int]) -> None:
    """Note the highest number of each series that its device has told of. newest: by the key of the series.

    In the order of keys, in which all workers lock them.
    """
    if newest:
        where = (SERIES.c.id == bindparam("key")) & (SERIES.c.newest_told < bindparam("newest"))
        rows = [{"key": key, "newest": newest[key]} for key in sorted(newest)]
        connection.execute(update(SERIES).where(where).values(newest_told=bindparam("newest")), rows)


def note_gone(connection: Connection, key: int, gone: Sequence[tuple[int, int, str]]) -> None:
    """Note numbers that will never come: first, last, reason."""
    if not gone:
        return
    row = connection.execute(select(SERIES.c.gone).where(SERIES.c.id == key).with_for_update()).scalar_one()
    merged = _merged([*(tuple(one) for one in row), *gone])
    connection.execute(update(SERIES).where(SERIES.c.id == key).values(gone=merged))


def _merged(gone: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    merged: list[tuple[int, int, str]] = []
    for first, last, why in sorted(set(gone)):
        if merged and merged[-1][2] == why and merged[-1][1] >= first - 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1]), why
        else:
            merged.append((first, last, why))
    return merged
