"""Find which numbers are missing, and note those that will never come."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Text, and_, bindparam, cast, delete, select, tuple_, update

from edge_app.city.database.tables import ASKED_GAP, CLOSED_GAP, DEVICE, LINE, SERIES
from edge_app.city.numbers import Numbers, Range
from edge_app.city.records import NONE, Gap, LineName

_KEPT_S: Final = 7 * 86_400
"""How long a gap that has closed is told."""
AWAY_S: Final = 90 * 86_400
"""A device that was not heard for so long, s, is not waited for; most do not keep what they have counted for longer."""
AWAY: Final = "device_away"
"""Reason of what such a device has not sent: the only one that is taken back."""


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


def give_up(connection: Connection, now: int) -> int:
    """Note all that is missing of devices that are away as what will never come; return how many numbers that is.

    now: UTC s. A device that comes back all the same is asked for it again, see `expect_again`.
    """
    same = and_(DEVICE.c.topic_site == LINE.c.topic_site, DEVICE.c.device == LINE.c.device)
    statement = select(SERIES).join(LINE, LINE.c.id == SERIES.c.line_id).join(DEVICE, same)
    away = statement.where(SERIES.c.installation != "", DEVICE.c.heard < now - AWAY_S).order_by(SERIES.c.id)
    many = 0
    for row in connection.execute(away).all():
        gaps = list(gaps_of(row))
        note_gone(connection, row.id, [(first, last, AWAY) for first, last in gaps])
        many += sum(last - first + 1 for first, last in gaps)
    return many


def expect_again(connection: Connection, devices: Collection[tuple[str, str]]) -> None:
    """Take back what was given up of devices because they were away. devices: site and device, that are here again."""
    if not devices:
        return
    of_devices = tuple_(LINE.c.topic_site, LINE.c.device).in_(sorted(devices))
    given_up = cast(SERIES.c.gone, Text).contains(AWAY)
    statement = select(SERIES.c.id, SERIES.c.gone).join(LINE, LINE.c.id == SERIES.c.line_id)
    for key, gone in connection.execute(statement.where(of_devices, given_up).order_by(SERIES.c.id)).all():
        kept = [one for one in gone if one[2] != AWAY]
        connection.execute(update(SERIES).where(SERIES.c.id == key).values(gone=kept))


def note_closed(connection: Connection, key: int, gap: Gap, asked: int, now: int) -> int:
    """Note a gap that was asked for and has closed; return how many of its numbers will never come.

    key: of its series. asked, now: UTC s. Gaps that closed long ago are forgotten.
    """
    row = connection.execute(select(SERIES.c.line_id, SERIES.c.gone).where(SERIES.c.id == key)).one()
    lost: int = sum(max(0, min(last, gap.last) - max(first, gap.first) + 1) for first, last, _ in row.gone)
    connection.execute(delete(ASKED_GAP).where(ASKED_GAP.c.series_id == key, ASKED_GAP.c.first == gap.first))
    connection.execute(delete(CLOSED_GAP).where(CLOSED_GAP.c.closed < now - _KEPT_S))
    values = {"installation": gap.installation, "first": gap.first, "last": gap.last, "lost": lost}
    connection.execute(CLOSED_GAP.insert().values(line_id=row.line_id, asked=asked, closed=now, **values))
    return lost


def closed_gaps(connection: Connection, now: int, most: int = 200) -> Sequence[Any]:
    """Return the gaps that have closed in the last days, newest first, with the names of their lines. now: UTC s."""
    named = select(LINE.c.topic_site, LINE.c.device, LINE.c.name, CLOSED_GAP)
    of_days = named.join(LINE, LINE.c.id == CLOSED_GAP.c.line_id).where(CLOSED_GAP.c.closed >= now - _KEPT_S)
    return connection.execute(of_days.order_by(CLOSED_GAP.c.id.desc()).limit(most)).all()


def _merged(gone: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    merged: list[tuple[int, int, str]] = []
    for first, last, why in sorted(set(gone)):
        if merged and merged[-1][2] == why and merged[-1][1] >= first - 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1]), why
        else:
            merged.append((first, last, why))
    return merged
