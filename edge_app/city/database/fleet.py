"""Keep what devices say of themselves, and make a site of each line that is new."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final

from sqlalchemy import Connection, or_, select

from edge_app.city.calendar import FAR, judge_zone
from edge_app.city.database.carried import (
    Place,
    attach_anew,
    counted_before,
    counting_nowhere,
    end_attachments,
    ended,
    is_another,
    told_places,
)
from edge_app.city.database.engine import among, change, insert_new, lock_alone, put
from edge_app.city.database.rolling import roll_sites
from edge_app.city.database.tables import ATTACHMENT, CONFIG, DEVICE, QUARTER, SITE
from edge_app.city.inventory import MOST_LANES
from edge_app.city.records import LineName
from edge_app.city.sums import QUARTER_S
from edge_app.errors import ConfigError
from edge_app.mqtt.device_messages import ConfigMeta, Health, LineMeta, Meta, Status
from edge_app.records import Direction
from edge_app.system.clock import rfc3339

_LONGEST: Final = 200
_LONGEST_ID: Final = 180
_NEW = {"state": "unknown", "heard": 0, "version": "", "contract": "1.0", "health": {}, "meta": {}}


def note_status(connection: Connection, statuses: Mapping[tuple[str, str], Status], at: int) -> None:
    """Note whether devices are online."""
    told = {
        name: {"state": one.state, "version": one.version, "contract": one.contract} for name, one in statuses.items()
    }
    _note(connection, told, at)


def note_health(connection: Connection, healths: Mapping[tuple[str, str], Health], at: int) -> None:
    """Note the health of devices."""
    _note(connection, {name: {"health": _kept_of(one)} for name, one in healths.items()}, at)


def _kept_of(health: Health) -> Mapping[str, Any]:
    """Return what is kept of a health; the end of its certificate in one form, by which devices are put in order."""
    kept = health.model_dump(mode="json", by_alias=True, exclude={"figures"})
    ends = health.certificate_ends.timestamp() if health.certificate_ends else FAR
    return {**kept, "certificate_ends": rfc3339(int(ends)) if 0 <= ends < FAR else None}


def note_layers(connection: Connection, layers: Mapping[tuple[str, str], Mapping[str, Any]], at: int) -> None:
    """Note what the office sets on devices, and what they report of it. layers: the columns of each."""
    for column in ("desired", "reported"):
        _note(connection, {name: {column: one[column]} for name, one in layers.items() if column in one}, at)


def note_heard(connection: Connection, devices: Sequence[tuple[str, str]], at: int) -> None:
    """Note that devices have sent something."""
    _note(connection, {device: {} for device in devices}, at)


def without_meta(connection: Connection) -> list[tuple[str, str]]:
    """Return the devices that have not told what they are."""
    statement = select(DEVICE.c.topic_site, DEVICE.c.device).where(DEVICE.c.version == "")
    return [(site, device) for site, device in connection.execute(statement)]


def device_names(connection: Connection) -> list[str]:
    """Return all devices that were ever heard, site/device, in order."""
    found = connection.execute(select(DEVICE.c.topic_site, DEVICE.c.device))
    return sorted(f"{site}/{device}" for site, device in found)


def note_config(connection: Connection, contents: Mapping[tuple[str, str, str], ConfigMeta]) -> None:
    """Keep texts for ever, also when the device takes them back. contents: site, device and `config` -> its text."""
    rows = [
        {**_row(key[:2]), "config": key[2], "content": contents[key].model_dump(mode="json", by_alias=True)}
        for key in sorted(contents)
    ]
    put(connection, CONFIG, rows)


def note_meta(
    connection: Connection, metas: Mapping[tuple[str, str], Meta], at: int, lines: Mapping[LineName, int]
) -> None:
    """Note what devices count. lines: the key of each of their lines; those without a site get one."""
    told = {
        name: {"meta": meta.model_dump(mode="json", by_alias=True), "version": meta.version}
        for name, meta in metas.items()
    }
    before = told_places(connection, metas)
    _note(connection, told, at)
    described = {
        lines[line_name]: _described(name, meta, line)
        for name, meta in sorted(metas.items())
        for line in meta.lines
        if (line_name := LineName(*name, line.id)) in lines
    }
    places = {lines[n]: place._replace(road=_road(n, place.road)) for n, place in before.items() if n in lines}
    _make_sites(connection, described, {key: name for name, key in lines.items()}, places, at)


def _note(connection: Connection, told: Mapping[tuple[str, str], Mapping[str, Any]], at: int) -> None:
    """Write columns of devices. told: the same columns of each. In order, as all that two workers may make at once."""
    insert_new(connection, DEVICE, [{**_row(name), **_NEW} for name in sorted(told)])
    change(connection, DEVICE, ["topic_site", "device"], [{**_row(n), "heard": at, **told[n]} for n in sorted(told)])


def _row(name: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(("topic_site", "device"), name, strict=True))


def _make_sites(
    connection: Connection,
    described: Mapping[int, Mapping[str, Any]],
    names: Mapping[int, LineName],
    before: Mapping[int, Place],
    at: int,
) -> None:
    """Make a site for each line that counts nowhere, and describe those that were made so, until somebody edits them.

    described: key of a line -> columns of its site. names: key -> name of the line. before: where lines were when their
    devices told that last. at: UTC s; a device at another place counts there from the quarter on that it lies in.
    """
    if not described:
        return
    found = _attached(connection, described.keys(), at)
    same = {
        line
        for line, one in found.items()
        if (one.time_zone == described[line]["time_zone"] or one.by_hand)
        and not _is_carried(one, before.get(line), described[line])
    }
    _describe(connection, {found[line].id: described[line] for line in same if not found[line].by_hand})
    if not (rest := sorted(described.keys() - same)):
        return
    lock_alone(connection, ATTACHMENT)  # who adds up at the same time would do so by the old sites
    found = _attached(connection, rest, at)
    now = at - at % QUARTER_S
    left = _carry(connection, found, before, described, now)
    _describe(
        connection, {one.id: described[line] for line, one in found.items() if not one.by_hand and line not in left}
    )
    begins = _begins(connection, [line for line in rest if line not in found], before, described)
    begins |= dict.fromkeys(left, now)
    new = _free_names(connection, {line: names[line] for line in begins})
    if new:
        base = {"public": False, "by_hand": False}
        connection.execute(SITE.insert(), [{"id": site, **base, **described[line]} for line, site in new.items()])
        attachments = [
            {"site_id": site, "line_id": line, "begins": begins[line], "turned": False} for line, site in new.items()
        ]
        connection.execute(ATTACHMENT.insert(), attachments)
    # Counts of a new site may have come before; hours and days of the others are those of another time zone now.
    counted = _with_counts(connection, rest)
    sites = [new[line] for line in sorted(counted) if line in new]
    sites += [found[line].id for line in sorted(counted) if line in found and not found[line].by_hand]
    roll_sites(connection, sites)


def _attached(connection: Connection, lines: Collection[int], at: int) -> dict[int, Any]:
    """Return for each line a site that it counts at or will, before all one that nobody has edited."""
    columns = ATTACHMENT.c.id.label("attachment"), *(ATTACHMENT.c[n] for n in ("line_id", "begins", "ends", "turned"))
    statement = select(*columns, *(SITE.c[n] for n in ("id", "road", "lat", "lon", "time_zone", "by_hand")))
    statement = statement.join_from(ATTACHMENT, SITE).where(among(connection, ATTACHMENT.c.line_id, lines))
    lasts = or_(ATTACHMENT.c.ends.is_(None), ATTACHMENT.c.ends > at)
    found: dict[int, Any] = {}
    for row in connection.execute(
        statement.where(lasts).order_by(ATTACHMENT.c.line_id, SITE.c.by_hand, ATTACHMENT.c.begins)
    ):
        found.setdefault(row.line_id, row)
    return found


def _carry(
    connection: Connection,
    found: Mapping[int, Any],
    before: Mapping[int, Place],
    described: Mapping[int, Mapping[str, Any]],
    now: int,
) -> set[int]:
    """End what lines count at whose devices are at another place now; return those that need a new site for that.

    now: quarter of an hour, UTC s. A site without counts before that is described anew instead, as one that is set up.
    """
    carried = {
        line: one
        for line, one in found.items()
        if one.begins < now and _is_carried(one, before.get(line), described[line])
    }
    counted = counted_before(connection, carried.keys(), now)
    left = {line for line in counted if not carried[line].by_hand}
    end_attachments(connection, [carried[line].attachment for line in left], now)
    reasons = {line: f"{before[line]!s:.97} -> {_place(described[line])!s:.97}" for line in counted - left}
    attach_anew(connection, {line: carried[line] for line in reasons}, reasons, now)
    return left


def _is_carried(attached: Any, before: Place | None, described: Mapping[str, Any]) -> bool:
    """Return whether a line is at another place than its site; where people edited that, than it told before."""
    if not attached.by_hand:
        return is_another(_place(attached._mapping), _place(described))
    return before is not None and is_another(before, _place(described))


def _begins(
    connection: Connection,
    lines: Collection[int],
    before: Mapping[int, Place],
    described: Mapping[int, Mapping[str, Any]],
) -> dict[int, int]:
    """Return from when on lines count that are attached nowhere, UTC s.

    A line whose last attachment has ended is left out until it counts again or is at another place: its device may lie
    in a store, and what it told last comes again whenever a worker starts.
    """
    since = ended(connection, lines)
    again = counting_nowhere(connection, since.keys())
    again |= {line for line in since if line in before and is_another(before[line], _place(described[line]))}
    return {line: since.get(line, 0) for line in lines if line not in since or line in again}


def _place(described: Mapping[str, Any]) -> Place:
    return Place(described["road"], described["lat"], described["lon"])


def _describe(connection: Connection, told: Mapping[str, Mapping[str, Any]]) -> None:
    change(connection, SITE, ["id"], [{"id": site, **told[site]} for site in sorted(told)])


def _with_counts(connection: Connection, lines: Collection[int]) -> set[int]:
    statement = select(QUARTER.c.line_id).where(among(connection, QUARTER.c.line_id, lines)).distinct()
    return set(connection.execute(statement).scalars())


def _free_names(connection: Connection, names: Mapping[int, LineName]) -> dict[int, str]:
    """Return the ids of new sites.

    Two lines may read alike without the signs that an id has not, and a line that somebody has detached from its site
    gets another one, as often as that happens.
    """
    wishes = {line: _wishes(name) for line, name in names.items()}
    free: dict[int, str] = {}
    while wishes:
        asked = {line: next(wishes[line]) for line in wishes}
        found = select(SITE.c.id).where(among(connection, SITE.c.id, set(asked.values())))
        taken = {*connection.execute(found).scalars(), *free.values()}
        for line, text in asked.items():
            if text not in taken:
                free[line] = text
                taken.add(text)
                del wishes[line]
    return free


def _wishes(name: LineName) -> Iterator[str]:
    """Yield ids for the site of a line, of which no other line has but the first."""
    text = re.sub("[^a-z0-9-]+", "-", "-".join(name).lower())[:_LONGEST_ID].strip("-")
    mark = hashlib.sha256("/".join(name).encode()).hexdigest()[:8]
    yield text
    yield f"{text}-{mark}"
    yield from (f"{text}-{mark}-{number}" for number in count(2))


def _described(device: tuple[str, str], meta: Meta, line: LineMeta) -> dict[str, Any]:
    return {
        "road": _road(LineName(*device, line.id), line.road),
        "lat": meta.location.lat if meta.location else None,
        "lon": meta.location.lon if meta.location else None,
        "time_zone": _known_zone(meta.time_zone),
        "lanes": len(line.lanes) + 1 if line.lanes and len(line.lanes) < MOST_LANES else None,
        **_direction(line, "left_to_right", "left"),
        **_direction(line, "right_to_left", "right"),
    }


def _road(name: LineName, told: str) -> str:
    return _shown(told) or " / ".join(name)


def _direction(line: LineMeta, direction: Direction, column: str) -> dict[str, Any]:
    known = line.directions.get(direction)
    name = _shown((known.name if known else None) or line.names.get(direction) or "")
    return {f"{column}_name": name, f"{column}_bearing": known.bearing_deg if known else None}


def _known_zone(name: str) -> str:
    """Return a time zone that IANA knows: days of a device with another one are those of UTC."""
    try:
        judge_zone(name)
    except ConfigError:
        return "UTC"
    return name


def _shown(text: str) -> str:
    """Return what can be stored and shown of a device's text: PostgreSQL takes no NUL."""
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST]
