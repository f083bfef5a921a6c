"""Read the fleet: which devices run what, filtered and in parts, and how one device has done in the last days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, tuple_

from edge_app.city.calendar import step_around
from edge_app.city.database.tables import CONFIG, DEVICE, LINE, QUARTER

_NAME: Final = DEVICE.c.topic_site + "/" + DEVICE.c.device
_MODEL: Final = func.coalesce(DEVICE.c.meta["model"].as_string(), "")
_MODEL_NAME: Final = func.coalesce(DEVICE.c.meta["model_name"].as_string(), "")
_CONFIG: Final = func.coalesce(DEVICE.c.meta["config"].as_string(), "")
_PROBLEM: Final = func.coalesce(DEVICE.c.health["problem"].as_string(), "")
_OFFICE: Final = func.coalesce(DEVICE.c.reported["state"].as_string(), "unknown")
_DRIFT: Final = func.coalesce(DEVICE.c.health["drift"].as_string(), "[]") != "[]"
_NO_END: Final = "9999"
"""Stands for the end of no certificate, behind all others."""
_ENDS: Final = func.coalesce(DEVICE.c.health["certificate_ends"].as_string(), _NO_END)
_SILENT_S: Final = 3600
"""A device that was heard so long before the newest of the city is away, though a broker may still say "online"."""
_SILENT: Final = DEVICE.c.heard < select(func.max(DEVICE.alias().c.heard)).scalar_subquery() - _SILENT_S


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which devices are meant; empty: any.

    search: part of a name, a version, a model or a problem. state: offline and so on. office: what became of the
    office's configuration. ends_by: RFC 3339, UTC; their first certificate has ended by then. trouble: those that are
    not online or say nothing any more, tell a problem or a drift, or have refused something.
    """

    search: str = ""
    state: str = ""
    version: str = ""
    model: str = ""
    office: str = ""
    ends_by: str = ""
    drift: bool = False
    trouble: bool = False

    def where(self) -> list[ColumnElement[bool]]:
        """Return the conditions."""
        parts: list[ColumnElement[bool]] = []
        for column, value in (
            (DEVICE.c.state, self.state),
            (DEVICE.c.version, self.version),
            (_MODEL, self.model),
            (_OFFICE, self.office),
        ):
            if value:
                parts.append(column == value)
        if words := self.search.strip().lower():
            texts = (_NAME, DEVICE.c.version, _MODEL, _MODEL_NAME, _CONFIG, _PROBLEM)
            parts.append(or_(*(func.lower(text).contains(words, autoescape=True) for text in texts)))
        if self.ends_by:
            parts.append(self.ends_by >= _ENDS)
        if self.drift:
            parts.append(_DRIFT)
        if self.trouble:
            refused = _OFFICE.in_(("refused", "rolled_back"))
            parts.append(or_(DEVICE.c.state != "online", _SILENT, _PROBLEM != "", _DRIFT, refused))
        return parts


def read_fleet(
    connection: Connection,
    wanted: Wanted,
    after: tuple[str, str] = ("", ""),
    most: int | None = None,
    *,
    by_certificate: bool = False,
) -> Sequence[Row[Any]]:
    """Return devices by their names. after: only those behind this one. most: so many at most.

    by_certificate: first those whose certificate ends first.
    """
    order: tuple[Any, ...] = (DEVICE.c.topic_site, DEVICE.c.device)
    behind: tuple[str, ...] = after
    if by_certificate:
        row = read_device(connection, after)
        ends = row.health.get("certificate_ends") or _NO_END if row else _NO_END if any(after) else ""
        order, behind = (_ENDS, *order), (ends, *after)
    statement = select(DEVICE).where(tuple_(*order) > behind, *wanted.where())
    return connection.execute(statement.order_by(*order).limit(most)).all()


def count_fleet(connection: Connection, wanted: Wanted) -> int:
    """Return how many devices are meant."""
    return connection.execute(select(func.count()).select_from(DEVICE).where(*wanted.where())).scalar_one()


def tally_fleet(connection: Connection) -> Mapping[str, Counter[Any]]:
    """Return how many devices have each `state`, `version`, `office`, `drift` and `model` with its name."""
    columns = {
        "state": (DEVICE.c.state,),
        "version": (DEVICE.c.version,),
        "office": (_OFFICE,),
        "drift": (_DRIFT,),
        "model": (_MODEL, _MODEL_NAME),
    }
    tallies: dict[str, Counter[Any]] = {name: Counter() for name in columns}
    every = [column.label(f"c{n}") for n, column in enumerate(sum(columns.values(), ()))]
    each = select(*every).subquery()
    for row in connection.execute(select(*each.c, func.count()).group_by(*each.c)).all():
        *values, many = row
        for name, part in columns.items():
            own = tuple(values[: len(part)])
            del values[: len(part)]
            tallies[name][own if len(own) > 1 else own[0]] += many
    return tallies


def read_device(connection: Connection, device: tuple[str, str]) -> Row[Any] | None:
    """Return a device; None where no such one was ever heard."""
    where = DEVICE.c.topic_site == device[0], DEVICE.c.device == device[1]
    return connection.execute(select(DEVICE).where(*where)).one_or_none()


def read_config(connection: Connection, device: tuple[str, str], config: str) -> Mapping[str, Any] | None:
    """Return the text of a configuration of a device; None where it never came."""
    where = and_(CONFIG.c.topic_site == device[0], CONFIG.c.device == device[1], CONFIG.c.config == config)
    return connection.execute(select(CONFIG.c.content).where(where)).scalar_one_or_none()


@dataclass(slots=True)
class Day:
    """How a device has done on a day of its own time. start, end: UTC s, the end of today is now.

    lines: that counted. seen_s, flagged_s: of all lines together. flags: seconds by flag.
    """

    start: int
    end: int
    lines: set[int] = field(default_factory=set)
    seen_s: float = 0.0
    flagged_s: int = 0
    flags: Counter[str] = field(default_factory=Counter)

    @property
    def possible_s(self) -> int:
        """Seconds that all lines together could have seen."""
        return (self.end - self.start) * len(self.lines)


def read_days(connection: Connection, device: tuple[str, str], now: int, days: int, tz: ZoneInfo) -> list[Day]:
    """Return the last days of a device, the oldest first; also those of which nothing has come."""
    spans = [step_around(now, "day", tz)]
    while len(spans) < days:
        spans.append(step_around(spans[-1][0] - 1, "day", tz))
    found = {begin: Day(begin, min(end, now)) for begin, end in reversed(spans)}
    of_device = select(LINE.c.id).where(LINE.c.topic_site == device[0], LINE.c.device == device[1])
    statement = select(QUARTER).where(QUARTER.c.line_id.in_(of_device), QUARTER.c.start >= spans[-1][0])
    lines = set[int]()
    for row in connection.execute(statement.where(QUARTER.c.start < now)).all():
        begin, _ = step_around(row.start, "day", tz)
        day = found[begin]
        lines.add(row.line_id)
        day.seen_s += row.covered_s  # more than a quarter, where an interval is longer
        day.flagged_s += row.flagged_s
        day.flags.update(row.flags)
    for day in found.values():
        day.lines = lines
    return list(found.values())
