"""Find what has changed at a site: another line or place, a line drawn anew, another model or config, numbers anew."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, cast, func, literal, or_, select

from edge_app.city.database.attached import counts_there
from edge_app.city.database.comparable import is_comparable
from edge_app.city.database.engine import among
from edge_app.city.database.tables import ATTACHMENT, CONFIG, LINE, QUARTER, SERIES
from edge_app.city.records import Change

_MOST_TOLD: Final = 5
_GEOMETRY: Final = ("start", "end")
Under: TypeAlias = tuple[str, str]
"""Model and config."""


@dataclass(frozen=True, slots=True)
class Use:
    """From when on a device counts under a configuration. at: UTC s.

    model, config: of the first of its lines that did. before: those of before, None where nothing was counted before.
    drawn: lines that were drawn anew. keys: settings that differ; both empty where one of both texts never came.
    """

    at: int
    model: str
    config: str
    before: Under | None
    drawn: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def read_changes(connection: Connection, site: str, start: int, end: int) -> list[Change]:
    """Return what has changed at a site in [start, end), UTC s, by time."""
    changes = [change for _, change in _changes(connection, [site], start, end)]
    changes += _of_installations(connection, site, start, end)
    return sorted(changes, key=lambda change: (change.at, change.kind))


def newest_breaks(connection: Connection, sites: Collection[str], start: int, end: int) -> dict[str, int]:
    """Return when the series of each site broke last in [start, end), UTC s; `start` where it did not."""
    found = dict.fromkeys(sites, start)
    for site, change in _changes(connection, sites, start, end):
        if change.breaks:
            found[site] = max(found[site], change.at)
    return found


def _changes(connection: Connection, sites: Collection[str], start: int, end: int) -> Iterator[tuple[str, Change]]:
    """Yield changes with their site."""
    yield from ((site, change) for site, change in _of_lines(connection, sites) if start <= change.at < end)
    yield from _of_settings(connection, sites, start, end)


def _of_lines(connection: Connection, sites: Collection[str]) -> Iterator[tuple[str, Change]]:
    attached = select(ATTACHMENT, LINE).join(LINE, LINE.c.id == ATTACHMENT.c.line_id)
    attached = attached.where(among(connection, ATTACHMENT.c.site_id, sites)).order_by(ATTACHMENT.c.begins)
    before: dict[str, str] = {}
    for row in connection.execute(attached):
        name, old = f"{row.topic_site}/{row.device}/{row.name}", before.get(row.site_id, "")
        if row.begins and (old or row.breaks):
            kind = "place" if old == name else "line"
            yield row.site_id, Change(row.begins, kind, row.breaks, old, name, row.reason)
        before[row.site_id] = name


def read_uses(connection: Connection, device: tuple[str, str], start: int, end: int) -> list[Use]:
    """Return under which configurations a device has counted in [start, end), UTC s, by time."""
    of_device = LINE.c.topic_site == device[0], LINE.c.device == device[1]
    quarters = _quarters(start, end, literal("")).where(QUARTER.c.line_id.in_(select(LINE.c.id).where(*of_device)))
    uses = list[Use]()
    for row, old, new in _under(connection, quarters):
        if not uses or new != (uses[-1].model, uses[-1].config):  # lines of a device change together
            uses.append(_use(connection, row, old, new))
    return uses


def _use(connection: Connection, row: Any, old: Under | None, new: Under) -> Use:
    before, after = _texts(connection, row, old or new, new)
    ids = [str(line.get("id")) for line in after.get("lines", ())]
    drawn = tuple(name for name in ids if _line(before, name) and _line(before, name) != _line(after, name))
    keys = tuple(sorted(_differing(before.get("counting", {}), after.get("counting", {}))))
    return Use(row.start, *new, old, drawn, keys)


def _of_settings(connection: Connection, sites: Collection[str], start: int, end: int) -> Iterator[tuple[str, Change]]:
    """Yield changes of model and configuration between the quarters of each line at a site."""
    if len(sites) > 1:  # to put the quarters of many in order takes long, and few have changed anything
        sites = _of_several_settings(connection, sites, start, end)
    quarters = _quarters(start, end, ATTACHMENT.c.site_id).join(ATTACHMENT, counts_there())
    for row, old, new in _under(connection, quarters.where(among(connection, ATTACHMENT.c.site_id, sites))):
        if old:
            yield from ((row.place, change) for change in _changed(connection, row, old, new))


def _of_several_settings(connection: Connection, sites: Collection[str], start: int, end: int) -> list[str]:
    """Return which sites have a line that counted under more than one model and configuration in [start, end)."""
    text = cast(QUARTER.c.settings, Text)
    least, most = func.min(text), func.max(text)
    several = select(ATTACHMENT.c.site_id).join(QUARTER, counts_there())
    several = several.where(among(connection, ATTACHMENT.c.site_id, sites))
    several = several.where(QUARTER.c.start >= start, QUARTER.c.start < end)
    # Within a quarter too: [["a","b"],["c","d"]].
    several = several.group_by(ATTACHMENT.c.id).having(or_(least != most, most.like("%],%")))
    return [*{*connection.execute(several).scalars()}]


def _quarters(start: int, end: int, place: ColumnElement[str]) -> Select[Any]:
    """Return the quarters that begin in [start, end), UTC s, with what they and those of before counted under.

    place: where its line counts; what it counted under at another one is not of before.
    """
    text = cast(QUARTER.c.settings, Text)
    before = func.lag(text).over(partition_by=(QUARTER.c.line_id, place), order_by=QUARTER.c.start)
    columns = select(
        QUARTER.c.line_id, place.label("place"), QUARTER.c.start, text.label("now"), before.label("before")
    )
    return columns.where(QUARTER.c.start >= start, QUARTER.c.start < end)


def _under(connection: Connection, quarters: Select[Any]) -> Iterator[tuple[Any, Under | None, Under]]:
    """Yield the quarters of each line in which model or config is another one than before, by time."""
    each = quarters.subquery()
    changed = select(each, LINE).join(LINE, LINE.c.id == each.c.line_id)
    changed = changed.where(or_(each.c.before.is_(None), each.c.before != each.c.now)).order_by(each.c.start)
    known: dict[tuple[int, str], Under] = {}
    for row in connection.execute(changed).all():
        for model, config in json.loads(row.now):
            old = known.get((row.line_id, row.place))
            if old and (model, config) in (old, *map(tuple, json.loads(row.before or "[]"))):
                continue
            known[row.line_id, row.place] = model, config
            yield row, old, (model, config)


def _texts(connection: Connection, row: Any, old: Under, new: Under) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the texts of two configurations of a device, empty where one never came."""
    of_device = and_(CONFIG.c.topic_site == row.topic_site, CONFIG.c.device == row.device)
    wanted = select(CONFIG.c.config, CONFIG.c.content).where(of_device, CONFIG.c.config.in_((old[1], new[1])))
    told = {row.config: row.content for row in connection.execute(wanted)}
    return told.get(old[1], {}), told.get(new[1], {})


def _changed(connection: Connection, row: Any, old: Under, new: Under) -> Iterator[Change]:
    if old[0] != new[0]:
        yield Change(row.start, "model", False, old[0], new[0], "")
    if old[1] == new[1]:
        return
    before, after = _texts(connection, row, old, new)
    drawn = _line(after, row.name)
    if _line(before, row.name) and _line(before, row.name) != drawn:
        same = bool(drawn) and is_comparable(connection, (row.topic_site, row.device), row.name, drawn)
        yield Change(row.start, "drawn", not same, old[1], new[1], "")
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
