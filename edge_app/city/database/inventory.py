"""Read and change the inventory: sites and what is attached to them. Every change is in the caller's transaction."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Integer, delete, exists, select

from edge_app.city.calendar import FAR, moment
from edge_app.city.course import middle_of
from edge_app.city.database.audit import note_change, note_changes
from edge_app.city.database.engine import among, change, lock_alone, put, wanted
from edge_app.city.database.rolling import roll_sites
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import ATTACHMENT, LINE, QUARTER, SITE, STEP
from edge_app.city.inventory import (
    Attachment,
    Heading,
    InventoryError,
    SiteDescription,
    counts_twice,
    judge_together,
)
from edge_app.city.records import LineName

Difference = dict[str, tuple[Any, Any]]
"""Key of a description -> its value before and after, as JSON has them."""
_AT_ONCE: Final = 500
_SUMMED: Final = ("time_zone", "attachments")
"""What the sums of a site depend on."""


def read_inventory(connection: Connection, names: Sequence[str] | None = None) -> list[SiteDescription]:
    """Return all sites by their id, or those of these ids. What devices tell is not judged again."""
    wanted = SITE.c.id.in_(names) if names is not None else SITE.c.id.is_not(None)
    attached = defaultdict(list)
    statement = select(ATTACHMENT, LINE).join(LINE, LINE.c.id == ATTACHMENT.c.line_id).join(SITE).where(wanted)
    for row in connection.execute(statement.order_by(ATTACHMENT.c.begins)):
        attached[row.site_id].append(_attachment(row))
    rows = connection.execute(select(SITE).where(wanted).order_by(SITE.c.id))
    return [_description(row, attached[row.id]) for row in rows]


def _description(row: Any, attachments: Sequence[Attachment]) -> SiteDescription:
    return SiteDescription.model_construct(
        id=row.id,
        road=row.road,
        lat=row.lat,
        lon=row.lon,
        time_zone=row.time_zone,
        left_to_right=Heading.model_construct(name=row.left_name, bearing_deg=row.left_bearing),
        right_to_left=Heading.model_construct(name=row.right_name, bearing_deg=row.right_bearing),
        lanes=row.lanes,
        public=row.public,
        course=[(east, north) for east, north in row.course] if row.course else None,
        attachments=list(attachments),
    )


def _attachment(row: Any) -> Attachment:
    return Attachment.model_construct(
        device=f"{row.topic_site}/{row.device}",
        line=row.name,
        begins=moment(row.begins) if row.begins else None,
        ends=None if row.ends is None else moment(row.ends),
        turned=row.turned,
        breaks=row.breaks,
        reason=row.reason,
    )


def put_sites(connection: Connection, sites: Sequence[SiteDescription], who: str, at: float) -> dict[str, Difference]:
    """Make or replace sites with all that is attached to them; return what has changed of each that did.

    who, at: for the audit; UTC s.

    A site that a device's first message has made, and nobody has edited, gives a line up to whoever claims it.
    Raises InventoryError: when a line would count at two sites at once; and then nothing is changed.
    """
    judge_together(sites)
    sites = [_settled(site) for site in sites]
    lock_alone(connection, ATTACHMENT)  # who adds up at the same time would do so by the old attachments
    before = {site.id: site for site in _read_in_parts(connection, [site.id for site in sites])}
    changes = {site.id: _difference(before.get(site.id), site) for site in sites}
    changed = [site for site in sites if changes[site.id]]
    put(connection, SITE, [_row(site) for site in changed])
    _attach(connection, [site for site in changed if "attachments" in changes[site.id]])
    roll_sites(connection, [site.id for site in changed if any(key in changes[site.id] for key in _SUMMED)])
    told = {name: change for name, change in changes.items() if change}
    note_changes(connection, at, who, "site.put", told)
    return told


def _settled(site: SiteDescription) -> SiteDescription:
    """Return a site with its attachments in order; without a position it stands halfway along its road's course."""
    found: dict[str, Any] = {"attachments": sorted(site.attachments, key=lambda one: one.span)}
    if site.course and site.lat is None:
        found["lon"], found["lat"] = middle_of(site.course)
    return site.model_copy(update=found)


def _read_in_parts(connection: Connection, names: Sequence[str]) -> list[SiteDescription]:
    found: list[SiteDescription] = []
    for at in range(0, len(names), _AT_ONCE):
        found += read_inventory(connection, names[at : at + _AT_ONCE])
    return found


def _difference(before: SiteDescription | None, after: SiteDescription) -> Difference:
    old: Mapping[str, Any] = before.model_dump(mode="json") if before else {}
    new = after.model_dump(mode="json")
    return {key: (old.get(key), value) for key, value in new.items() if key != "id" and old.get(key) != value}


def _row(site: SiteDescription) -> dict[str, Any]:
    return {
        **site.model_dump(include={"id", "road", "lat", "lon", "course", "time_zone", "lanes", "public"}),
        "left_name": site.left_to_right.name,
        "left_bearing": site.left_to_right.bearing_deg,
        "right_name": site.right_to_left.name,
        "right_bearing": site.right_to_left.bearing_deg,
        "by_hand": True,
    }


def _attach(connection: Connection, sites: Sequence[SiteDescription]) -> None:
    storing, rows = Storing(), list[dict[str, Any]]()
    connection.execute(delete(ATTACHMENT).where(among(connection, ATTACHMENT.c.site_id, [site.id for site in sites])))
    lines = storing.lines(connection, {LineName(*one.names) for site in sites for one in site.attachments})
    elsewhere = _elsewhere(connection, lines.values())
    shorter = dict[int, _Elsewhere]()
    for site in sites:
        for attachment in site.attachments:
            line = lines[LineName(*attachment.names)]
            shorter |= {one.row.id: one for one in _give_way(site.id, attachment, elsewhere[line])}
            rows.append(_attachment_row(site.id, attachment, line))
    _shorten(connection, list(shorter.values()))
    if rows:
        connection.execute(ATTACHMENT.insert(), rows)


@dataclass(slots=True)
class _Elsewhere:
    """An attachment of a line at another site. ends: a time beyond all where there is none."""

    begins: int
    ends: int
    row: Any


def _elsewhere(connection: Connection, lines: Collection[int]) -> dict[int, list[_Elsewhere]]:
    """Return what lines are attached to, by begin; it does not overlap, since a line counts at one site at a time."""
    found = defaultdict[int, list[_Elsewhere]](list)
    rows = select(ATTACHMENT, SITE.c.by_hand).join(SITE).where(among(connection, ATTACHMENT.c.line_id, lines))
    for row in connection.execute(rows.order_by(ATTACHMENT.c.begins)).all():
        found[row.line_id].append(_Elsewhere(row.begins, FAR if row.ends is None else row.ends, row))
    return found


def _attachment_row(site: str, attachment: Attachment, line: int) -> dict[str, Any]:
    begins, ends = attachment.span
    return {
        "site_id": site,
        "line_id": line,
        "begins": begins,
        "ends": ends if attachment.ends else None,
        **attachment.model_dump(include={"turned", "breaks", "reason"}),
    }


def _give_way(site: str, attachment: Attachment, elsewhere: list[_Elsewhere]) -> Iterator[_Elsewhere]:
    """Yield what the line counts at in that time, which ends now when it begins.

    elsewhere: where it counts, by begin. Raises InventoryError: at a site that somebody has edited.
    """
    begins, ends = attachment.span
    before = bisect_left(elsewhere, ends, key=lambda one: one.begins)
    while before and elsewhere[before - 1].ends > begins:
        before -= 1
        one = elsewhere[before]
        if one.row.by_hand:
            raise InventoryError(counts_twice(f"{attachment.device}/{attachment.line}", one.row.site_id, site))
        one.ends = begins
        yield one
        if one.ends <= one.begins:
            del elsewhere[before]


def _shorten(connection: Connection, given: Sequence[_Elsewhere]) -> None:
    """Let attachments of sites that were made by themselves end; without any counts before, the site goes with it."""
    if not given:
        return
    types = {"id": Integer(), "line_id": Integer(), "begins": BigInteger(), "ends": BigInteger()}
    asked = wanted(connection, types, [(one.row.id, one.row.line_id, one.row.begins, one.ends) for one in given])
    before = QUARTER.c.line_id == asked.c.line_id, QUARTER.c.start >= asked.c.begins, QUARTER.c.start < asked.c.ends
    counted = set(connection.execute(select(asked.c.id).where(exists().where(*before))).scalars())
    stay = [one for one in given if one.row.id in counted]
    change(connection, ATTACHMENT, ("id",), [{"id": one.row.id, "ends": one.ends} for one in stay])
    roll_sites(connection, [one.row.site_id for one in stay])
    _delete(connection, [one.row.site_id for one in given if one.row.id not in counted])


def delete_site(connection: Connection, name: str, who: str, at: float) -> bool:
    """Delete a site and what was attached to it; return whether there was one. Counts of its lines stay."""
    lock_alone(connection, ATTACHMENT)
    found = read_inventory(connection, [name])
    if not found:
        return False
    _delete(connection, [name])
    told = found[0].model_dump(mode="json", exclude={"id"})
    note_change(connection, at, who, "site.delete", name, {key: (value, None) for key, value in told.items()})
    return True


def _delete(connection: Connection, names: Sequence[str]) -> None:
    for column in (STEP.c.site_id, ATTACHMENT.c.site_id, SITE.c.id):
        connection.execute(delete(column.table).where(among(connection, column, names)))


def unheard_lines(connection: Connection, sites: Sequence[SiteDescription]) -> list[str]:
    """Return the lines attached to sites of which no interval has come, as SITE/DEVICE/LINE."""
    counted = select(QUARTER.c.line_id).where(QUARTER.c.line_id == LINE.c.id).exists()
    rows = connection.execute(select(LINE).where(~counted))
    silent = {f"{row.topic_site}/{row.device}/{row.name}" for row in rows}
    return sorted(silent & {f"{a.device}/{a.line}" for site in sites for a in site.attachments})
