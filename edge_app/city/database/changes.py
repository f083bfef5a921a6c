"""Find what has changed at a site: another line, a line drawn anew, another model or configuration, numbers anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Text, and_, cast, func, or_, select

from edge_app.city.database.attached import counts_there
from edge_app.city.database.tables import ATTACHMENT, CONFIG, LINE, QUARTER, SERIES
from edge_app.city.records import Change

_MOST_TOLD: Final = 5
_GEOMETRY: Final = ("start", "end")


def read_changes(connection: Connection, site: str, start: int, end: int) -> list[Change]:
    """Return what has changed at a site in [start, end), UTC s, by time."""
    changes = [*_changes(connection, site, start, end), *_of_installations(connection, site, start, end)]
    return sorted(changes, key=lambda change: (change.at, change.kind))


def newest_break(connection: Connection, site: str, start: int, end: int) -> int:
    """Return when the series of a site broke last in [start, end), UTC s; `start` where it did not."""
    return max((change.at for change in _changes(connection, site, start, end) if change.breaks), default=start)


def _changes(connection: Connection, site: str, start: int, end: int) -> Iterator[Change]:
    yield from (change for change in _of_lines(connection, site) if start <= change.at < end)
    yield from _of_settings(connection, site, start, end)


def _of_lines(connection: Connection, site: str) -> Iterator[Change]:
    attached = select(ATTACHMENT, LINE).join(LINE, LINE.c.id == ATTACHMENT.c.line_id)
    before = ""
    for row in connection.execute(attached.where(ATTACHMENT.c.site_id == site).order_by(ATTACHMENT.c.begins)):
        name = f"{row.topic_site}/{row.device}/{row.name}"
        if row.begins and (before or row.breaks):
            yield Change(row.begins, "line", row.breaks, before, name, row.reason)
        before = name


def _of_settings(connection: Connection, site: str, start: int, end: int) -> Iterator[Change]:
    """Yield changes of model and configuration between the quarters of each line."""
    text = cast(QUARTER.c.settings, Text)
    before = func.lag(text).over(partition_by=QUARTER.c.line_id, order_by=QUARTER.c.start)
    each = (
        select(QUARTER.c.line_id, QUARTER.c.start, text.label("now"), before.label("before"))
        .join(ATTACHMENT, counts_there())
        .where(ATTACHMENT.c.site_id == site, QUARTER.c.start >= start, QUARTER.c.start < end, QUARTER.c.intervals > 0)
        .subquery()
    )
    changed = select(each, LINE).join(LINE, LINE.c.id == each.c.line_id)
    changed = changed.where(or_(each.c.before.is_(None), each.c.before != each.c.now)).order_by(each.c.start)
    known: dict[int, tuple[str, str]] = {}
    for row in connection.execute(changed).all():
        for model, config in json.loads(row.now):
            old = known.get(row.line_id)
            if old and (model, config) in (old, *map(tuple, json.loads(row.before or "[]"))):
                continue
            known[row.line_id] = model, config
            if old:
                yield from _changed(connection, row, old, (model, config))


def _changed(connection: Connection, row: Any, old: tuple[str, str], new: tuple[str, str]) -> Iterator[Change]:
    if old[0] != new[0]:
        yield Change(row.start, "model", False, old[0], new[0], "")
    if old[1] == new[1]:
        return
    of_device = and_(CONFIG.c.topic_site == row.topic_site, CONFIG.c.device == row.device)
    wanted = select(CONFIG.c.config, CONFIG.c.content).where(of_device, CONFIG.c.config.in_((old[1], new[1])))
    told = {row.config: row.content for row in connection.execute(wanted)}
    before, after = told.get(old[1], {}), told.get(new[1], {})
    if _line(before, row.name) and _line(before, row.name) != _line(after, row.name):
        yield Change(row.start, "drawn", True, old[1], new[1], "")
        return
    keys = sorted(_differing(before.get("counting", {}), after.get("counting", {})))
    more = ", ..." if len(keys) > _MOST_TOLD else ""
    yield Change(row.start, "config", False, old[1], new[1], ", ".join(keys[:_MOST_TOLD]) + more)


def _line(content: Mapping[str, Any], name: str) -> list[Any]:
    """Return where a line lies, empty where that is not known."""
    return next(
        ([line.get(key) for key in _GEOMETRY] for line in content.get("lines", ()) if line.get("id") == name), []
    )


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key in one.keys() | other.keys():
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _differing(a, b, f"{above}{key}.")
        elif a != b:
            yield f"{above}{key}"


def _of_installations(connection: Connection, site: str, start: int, end: int) -> Iterator[Change]:
    """Yield where the numbers of a line begin anew: another card, a restored one, a clock that was set back."""
    before = func.lag(SERIES.c.installation).over(partition_by=SERIES.c.line_id, order_by=SERIES.c.begins)
    each = (
        select(SERIES.c.line_id, SERIES.c.installation, SERIES.c.begins, before.label("before"))
        .where(SERIES.c.installation != "", SERIES.c.begins.is_not(None))
        .where(SERIES.c.line_id.in_(select(ATTACHMENT.c.line_id).where(ATTACHMENT.c.site_id == site)))
        .subquery()
    )
    counts_here = and_(
        each.c.line_id == ATTACHMENT.c.line_id,
        each.c.begins >= ATTACHMENT.c.begins,
        or_(ATTACHMENT.c.ends.is_(None), each.c.begins < ATTACHMENT.c.ends),
    )
    found = select(each).join(ATTACHMENT, counts_here).where(ATTACHMENT.c.site_id == site)
    found = found.where(each.c.before.is_not(None), each.c.begins >= start, each.c.begins < end)
    for row in connection.execute(found.order_by(each.c.begins)).all():
        yield Change(row.begins, "installation", False, row.before, row.installation, "")
