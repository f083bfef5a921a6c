"""Store batches of intervals exactly once, whatever comes twice, late or out of order.

A batch is one transaction, committed before its messages are acknowledged. Its intervals are inserted and then the rows
of its series and lines are locked, each in the order of their keys: several workers may store the same line, and wait
for each other only while numbers and spans of time are added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Connection, Row, and_, delete, func, select, tuple_

from edge_app.city.archive import Archive, part_of
from edge_app.city.database.archived import disturb, past_of
from edge_app.city.database.days import day_of, keep_days, make_room
from edge_app.city.database.engine import among, change, insert_and_tell, insert_new, wanted
from edge_app.city.database.tables import CONTRADICTION, DIRTY, INTERVAL, LINE, MEASURE, POISON, SERIES, SETTINGS
from edge_app.city.numbers import Numbers, Range
from edge_app.city.records import COLUMNS, NONE, WORDS, Contradiction, Interval, LineName, Outcome, Settings
from edge_app.city.spans import Spans
from edge_app.city.sums import QUARTER_S
from edge_app.records import FLOWS
from edge_app.system.names import clean

_T = TypeVar("_T")
_KEPT_CHARACTERS: Final = 16_384
_LONGEST_REASON: Final = 500
_OF_SETTINGS: Final = [one.name for one in fields(Settings)]
_SAME: Final = ("seq", "length_s", "frames", "dropped", "settings_id", "series_id", "others", *COLUMNS)


@dataclass(slots=True)
class _Series:
    """A series while a batch is stored. came: numbers of the batch."""

    numbers: Numbers
    begins: int | None
    came: set[int] = field(default_factory=set)


class Storing:
    """Storing of intervals; one object for each worker, since it remembers the keys of names.

    archive: where the intervals of days that have left the database are; None: not known here.
    """

    def __init__(self, archive: Archive | None = None) -> None:
        self._archive = archive
        self._lines: dict[LineName, int] = {}
        self._series: dict[tuple[int, str], int] = {}
        self._settings: dict[Settings, int] = {}

    def store(self, connection: Connection, intervals: Sequence[Interval], arrived: float) -> Outcome:
        """Store intervals in the order in which they came, within the transaction of `connection`.

        arrived: UTC s. Raises sqlalchemy.exc.SQLAlchemyError: and then nothing is stored.
        """
        outcome = Outcome()
        keep_days(connection)
        self._learn(connection, intervals)
        arrived_ms, new, rows = round(arrived * 1000), dict[Any, Interval](), dict[Any, dict[str, Any]]()
        keys = [self._key(interval) for interval in intervals]
        for key, interval in zip(keys, intervals, strict=True):
            rows.setdefault(key, self._row(interval, arrived_ms))
        past = past_of(connection, self._archive, rows.keys(), int(arrived))
        missing = [row for key, row in rows.items() if key not in past.known]
        make_room(connection, (day_of(row["start"]) for row in missing))
        inserted = insert_and_tell(connection, INTERVAL, missing)
        told, series = self._lock(connection, intervals)  # from here on no other worker adds to these lines
        known = self._known(connection, sorted(rows.keys() - inserted - past.known.keys()))
        for key, interval in zip(keys, intervals, strict=True):
            if key in new or key not in inserted:
                outcome.repeated += 1
                first = new.get(key) or past.known.get(key)
                same = _alike(first, interval) if first else _same(known[key], self._row(interval, 0), interval)
                if not same:
                    outcome.contradictions.append(_told(interval, "content"))
                elif key not in new and not self._number(interval, series, outcome, again=True):
                    self._tell_time(interval, told)  # a database that was restored knows its file alone
                continue
            new[key] = interval
            outcome.stored += 1
            outcome.new.append(interval)
            self._note(interval, told, series, outcome, doubtful=key in past.doubtful)
        if past.places:
            disturb(connection, past.places & {(day_of(start), part_of(line)) for line, start, _ in new})
        measured = [(key, interval.measures) for key, interval in new.items() if interval.measures]
        insert_new(
            connection,
            MEASURE,
            [{"line_id": line, "start": start, "id": key, "content": text} for (line, start, key), text in measured],
        )
        self._unlock(connection, told, series)
        insert_new(connection, DIRTY, [{"line_id": line, "start": start} for line, start in sorted(outcome.changed)])
        self._tell(connection, outcome.contradictions, int(arrived))
        return outcome

    def line(self, connection: Connection, name: LineName) -> int:
        """Return the key of a line, which is made where it is new."""
        return self.lines(connection, {name})[name]

    def lines(self, connection: Connection, names: Collection[LineName]) -> dict[LineName, int]:
        """Return the keys of lines; those that are new are made."""
        self._learn_lines(connection, names)
        return {name: self._lines[name] for name in names}

    def series(self, connection: Connection, name: LineName, installation: str) -> int:
        """Return the key of a line under an installation, which is made where it is new."""
        self._learn_series(connection, {(name, installation)})
        return self._series[self._lines[name], installation]

    def forget(self) -> None:
        """Forget the keys that a transaction has made, after it was rolled back."""
        self._lines.clear()
        self._series.clear()
        self._settings.clear()

    def _learn(self, connection: Connection, intervals: Iterable[Interval]) -> None:
        self._learn_series(connection, {(i.name, i.installation) for i in intervals})
        # In order, as all that two workers may make at once. Every device that starts brings one.
        unknown = sorted(map(astuple, {i.settings for i in intervals} - self._settings.keys()))
        insert_new(connection, SETTINGS, [dict(zip(_OF_SETTINGS, values, strict=True)) for values in unknown])
        columns = [SETTINGS.c[name] for name in _OF_SETTINGS]
        for part in _parts(unknown):
            for key, *values in connection.execute(select(SETTINGS.c.id, *columns).where(tuple_(*columns).in_(part))):
                self._settings[Settings(*values)] = key

    def _learn_lines(self, connection: Connection, names: Collection[LineName]) -> None:
        unknown = sorted(set(names) - self._lines.keys())
        columns = LINE.c.topic_site, LINE.c.device, LINE.c.name
        rows = [{"topic_site": s, "device": d, "name": n, "told": [], "longest_s": 60} for s, d, n in unknown]
        insert_new(connection, LINE, rows)
        for row in _keys_of(connection, LINE.c.id, columns, unknown):
            self._lines[LineName(row.topic_site, row.device, row.name)] = row.id

    def _learn_series(self, connection: Connection, named: Collection[tuple[LineName, str]]) -> None:
        self._learn_lines(connection, {name for name, _ in named})
        unknown = sorted({(self._lines[name], installation) for name, installation in named} - self._series.keys())
        columns = SERIES.c.line_id, SERIES.c.installation
        empty: dict[str, Any] = {"ranges": [], "gone": [], "newest_told": 0}
        insert_new(connection, SERIES, [{"line_id": line, "installation": i, **empty} for line, i in unknown])
        for row in _keys_of(connection, SERIES.c.id, columns, unknown):
            self._series[row.line_id, row.installation] = row.id

    def _key(self, interval: Interval) -> tuple[int, int, Any]:
        return self._lines[interval.name], interval.start, interval.id

    def _known(self, connection: Connection, keys: Sequence[tuple[int, int, Any]]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for part in _parts(keys):
            condition = tuple_(INTERVAL.c.line_id, INTERVAL.c.start, INTERVAL.c.id).in_(part)
            same = and_(*(INTERVAL.c[name] == MEASURE.c[name] for name in ("line_id", "start", "id")))
            statement = select(INTERVAL, MEASURE.c.content).outerjoin(MEASURE, same).where(condition)
            for row in connection.execute(statement):
                found[row.line_id, row.start, row.id] = row
        return found

    def _lock(
        self, connection: Connection, intervals: Iterable[Interval]
    ) -> tuple[dict[int, tuple[Spans, int]], dict[int, _Series]]:
        lines = sorted({self._lines[i.name] for i in intervals})
        keys = sorted({self._series[self._lines[i.name], i.installation] for i in intervals if i.installation})
        told, series = {}, {}
        for row in connection.execute(
            select(LINE.c.id, LINE.c.told, LINE.c.longest_s)
            .where(among(connection, LINE.c.id, lines))
            .order_by(LINE.c.id)
            .with_for_update()
        ).all():
            told[row.id] = Spans(tuple(span) for span in row.told), row.longest_s
        columns = SERIES.c.id, SERIES.c.ranges, SERIES.c.begins
        of_series = select(*columns).where(among(connection, SERIES.c.id, keys)).order_by(SERIES.c.id)
        for key, ranges, begins in connection.execute(of_series.with_for_update()).all():
            numbers = Numbers(Range(a, b, tuple(before), tuple(after)) for a, b, before, after in ranges)
            series[key] = _Series(numbers, begins)
        return told, series

    def _note(
        self,
        interval: Interval,
        told: dict[int, tuple[Spans, int]],
        series: Mapping[int, _Series],
        outcome: Outcome,
        *,
        doubtful: bool,
    ) -> None:
        """Note a stored interval. doubtful: it may be in the archive already; moving its day finds that out."""
        known = self._number(interval, series, outcome, again=doubtful)
        if interval.aside:
            outcome.aside += 1
            outcome.contradictions.append(_told(interval, "future"))
            return
        overlaps = self._tell_time(interval, told)
        if overlaps and not (doubtful and known):
            outcome.contradictions.append(_told(interval, "overlap"))
        line = self._lines[interval.name]
        if interval.name.line == FLOWS:  # no vehicles of a line
            return
        # Where it overlaps others it may outdo them, and let those count that they had outdone: sums.deciding.
        around = told[line][1] if overlaps else 0
        for quarter in range((interval.start - 2 * around) // QUARTER_S, (interval.end - 1 + around) // QUARTER_S + 1):
            outcome.changed.add((line, quarter * QUARTER_S))

    def _tell_time(self, interval: Interval, told: dict[int, tuple[Spans, int]]) -> bool:
        """Note the time of an interval; return whether some of it was told already."""
        line = self._lines[interval.name]
        spans, longest = told[line]
        told[line] = spans, max(longest, interval.end - interval.start)
        return spans.add(interval.start, interval.end)

    def _number(self, interval: Interval, series: Mapping[int, _Series], outcome: Outcome, *, again: bool) -> bool:
        """Note the number of an interval; return whether it was there, which without numbers is not known.

        again: it may be the same interval.
        """
        if not interval.installation:
            return True
        of_series = series[self._series[self._lines[interval.name], interval.installation]]
        if not interval.aside and (of_series.begins is None or interval.start < of_series.begins):
            of_series.begins = interval.start
        if interval.seq in of_series.numbers:
            if not again or interval.seq in of_series.came:
                outcome.contradictions.append(_told(interval, "number"))
            return True
        of_series.came.add(interval.seq)
        if not of_series.numbers.add(interval.seq, interval.counts, interval.totals):
            outcome.contradictions.append(_told(interval, "totals"))
        return False

    def _unlock(
        self, connection: Connection, told: Mapping[int, tuple[Spans, int]], series: Mapping[int, _Series]
    ) -> None:
        lines = [{"id": key, "told": spans.spans, "longest_s": longest} for key, (spans, longest) in told.items()]
        change(connection, LINE, ["id"], lines)
        rows = [
            {
                "id": key,
                "ranges": [(r.first, r.last, r.before, r.after) for r in one.numbers.ranges],
                "begins": one.begins,
            }
            for key, one in series.items()
        ]
        change(connection, SERIES, ["id"], rows)

    def _row(self, interval: Interval, arrived_ms: int) -> dict[str, Any]:
        line = self._lines[interval.name]
        return {
            "line_id": line,
            "start": interval.start,
            "id": interval.id,
            "arrived_ms": arrived_ms,
            "series_id": self._series[line, interval.installation],
            "settings_id": self._settings[interval.settings],
            "seq": interval.seq,
            "length_s": interval.end - interval.start,
            "frames": interval.frames,
            "dropped": interval.dropped,
            "coverage": interval.coverage,
            "aside": interval.aside,
            "others": interval.others or None,
            **dict(zip(COLUMNS, interval.counts, strict=True)),
        }

    def _tell(self, connection: Connection, contradictions: Iterable[Contradiction], now: int) -> None:
        rows = [
            {
                "line_id": self._lines[c.name],
                "kind": c.kind,
                "what": c.what,
                "start": c.start,
                "stop": c.end,
                "found": now,
            }
            for c in contradictions
        ]
        insert_new(connection, CONTRADICTION, rows)


def _parts(keys: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield the keys in parts: SQLite takes no more variables at once."""
    for at in range(0, len(keys), 500):
        yield keys[at : at + 500]


def _keys_of(
    connection: Connection, key: Column[int], columns: Sequence[Column[Any]], names: Sequence[Sequence[Any]]
) -> Iterator[Row[Any]]:
    """Yield key and name of the rows that have one of some names, in columns that are unique together.

    All names go at once: PostgreSQL knows nothing yet of rows that were made just before, and reads all for each part.
    """
    if names:
        asked = wanted(connection, {column.name: column.type for column in columns}, names)
        same = and_(*(column == asked.c[column.name] for column in columns))
        yield from connection.execute(select(key, *columns).join(asked, same))


def keep_aside(connection: Connection, topic: str, payload: bytes, why: str, arrived: float) -> None:
    """Keep a message that cannot be read, with the reason."""
    text = payload[:_KEPT_CHARACTERS].decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    row = {
        "topic": topic.replace("\0", "\\x00"),
        "payload": text[:_KEPT_CHARACTERS],
        "reason": clean(why[:_LONGEST_REASON]),
        "arrived": int(arrived),
    }
    connection.execute(POISON.insert(), row)


def forget_aside(connection: Connection, most: int) -> None:
    """Delete the oldest messages that were kept aside, until about so many are left: one device could fill the disk."""
    newest = connection.execute(select(func.max(POISON.c.id))).scalar() or 0
    connection.execute(delete(POISON).where(POISON.c.id <= newest - most))


def _same(known: Any, row: Mapping[str, Any], interval: Interval) -> bool:
    same = all(getattr(known, column) == row[column] for column in _SAME)
    return same and (known.content or "") == interval.measures and _as_seen(known.coverage, interval.coverage)


def _alike(first: Interval, again: Interval) -> bool:
    """Return whether two intervals have one content. The archive keeps no totals, and `aside` hangs on the arrival."""
    one, other = (replace(each, totals=NONE, coverage=0.0, aside=False) for each in (first, again))
    return one == other and _as_seen(first.coverage, again.coverage)


def _as_seen(coverage: float, other: float) -> bool:
    return abs(coverage - other) < 1e-4  # the database keeps seven digits


def _told(interval: Interval, kind: str) -> Contradiction:
    return Contradiction(kind, interval.name, WORDS[kind].format(interval.seq), interval.start, interval.end)
