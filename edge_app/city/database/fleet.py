"""Keep what devices say of themselves, and make a site of each line that is new."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select

from edge_app.city.calendar import zone
from edge_app.city.database.engine import among, change, insert_new, put, wanted
from edge_app.city.database.tables import ATTACHMENT, CONFIG, DEVICE, SITE
from edge_app.city.records import LineName
from edge_app.errors import ConfigError
from edge_app.mqtt.messages import ConfigMeta, Health, LineMeta, Meta, Status
from edge_app.records import Direction

_LONGEST: Final = 200
_NEW = {"state": "unknown", "heard": 0, "version": "", "contract": "1.0", "health": {}, "meta": {}}


def note_status(connection: Connection, statuses: Mapping[tuple[str, str], Status], at: int) -> None:
    """Note whether devices are online."""
    told = {
        name: {"state": one.state, "version": one.version, "contract": one.contract} for name, one in statuses.items()
    }
    _note(connection, told, at)


def note_health(connection: Connection, healths: Mapping[tuple[str, str], Health], at: int) -> None:
    """Note the health of devices."""
    told = {name: {"health": one.model_dump(mode="json", by_alias=True)} for name, one in healths.items()}
    _note(connection, told, at)


def note_heard(connection: Connection, devices: Sequence[tuple[str, str]], at: int) -> None:
    """Note that devices have sent something."""
    insert_new(connection, DEVICE, [{"topic_site": site, "device": device, **_NEW} for site, device in devices])
    rows = [{"topic_site": site, "device": device, "heard": at} for site, device in devices]
    change(connection, DEVICE, ["topic_site", "device"], rows)


def without_meta(connection: Connection) -> list[tuple[str, str]]:
    """Return the devices that have not told what they are."""
    statement = select(DEVICE.c.topic_site, DEVICE.c.device).where(DEVICE.c.version == "")
    return [(site, device) for site, device in connection.execute(statement)]


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
    """Note what devices count. lines: the key of each of their lines; those without a site get one.

    Most devices say at each connect what they have said before: that costs no more than looking it up.
    """
    texts = {name: meta.model_dump(mode="json", by_alias=True) for name, meta in metas.items()}
    known = _known_metas(connection, sorted(metas))
    told = {name: {"meta": text, "version": metas[name].version} for name, text in texts.items()}
    _note(connection, told, at)
    described = {
        lines[line_name]: _described(name, meta, line)
        for name, meta in sorted(metas.items())
        if known.get(name) != texts[name]
        for line in meta.lines
        if (line_name := LineName(*name, line.id)) in lines
    }
    _make_sites(connection, described, {key: name for name, key in lines.items()})


def _known_metas(connection: Connection, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    asked = wanted(connection, {"topic_site": DEVICE.c.topic_site.type, "device": DEVICE.c.device.type}, names)
    same = (DEVICE.c.topic_site == asked.c.topic_site) & (DEVICE.c.device == asked.c.device)
    statement = select(DEVICE.c.topic_site, DEVICE.c.device, DEVICE.c.meta).join(asked, same)
    return {(site, device): meta for site, device, meta in connection.execute(statement)}


def _note(connection: Connection, told: Mapping[tuple[str, str], Mapping[str, Any]], at: int) -> None:
    """Write columns of devices. told: the same columns of each. In order, as all that two workers may make at once."""
    insert_new(connection, DEVICE, [{**_row(name), **_NEW} for name in sorted(told)])
    change(connection, DEVICE, ["topic_site", "device"], [{**_row(n), "heard": at, **told[n]} for n in sorted(told)])


def _row(name: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(("topic_site", "device"), name, strict=True))


def _make_sites(
    connection: Connection, described: Mapping[int, Mapping[str, Any]], names: Mapping[int, LineName]
) -> None:
    """Make a site for each line that has none, and describe those anew that nobody has edited.

    described: key of a line -> columns of its site. names: key -> name of the line.
    """
    if not described:
        return
    statement = select(ATTACHMENT.c.line_id, ATTACHMENT.c.site_id, SITE.c.by_hand)
    rows = connection.execute(
        statement.join(SITE, SITE.c.id == ATTACHMENT.c.site_id)
        .where(among(connection, ATTACHMENT.c.line_id, described.keys()))
        .order_by(ATTACHMENT.c.line_id, ATTACHMENT.c.begins)
    )
    attached: dict[int, tuple[str, bool]] = {}
    for line, site, by_hand in rows:
        attached.setdefault(line, (site, by_hand))
    new = {line: _identifier(names[line]) for line in described if line not in attached}
    insert_new(
        connection,
        SITE,
        [{"id": site, "public": False, "by_hand": False, **described[line]} for line, site in new.items()],
    )
    if new:
        attachments = [{"site_id": site, "line_id": line, "begins": 0, "turned": False} for line, site in new.items()]
        connection.execute(ATTACHMENT.insert(), attachments)
    own = {site: described[line] for line, (site, by_hand) in attached.items() if not by_hand}
    change(connection, SITE, ["id"], [{"id": site, **own[site]} for site in sorted(own)])


def _identifier(name: LineName) -> str:
    return re.sub("[^a-z0-9-]+", "-", f"{name.site}-{name.device}-{name.line}".lower())


def _described(device: tuple[str, str], meta: Meta, line: LineMeta) -> dict[str, Any]:
    return {
        "road": _shown(line.road) or f"{device[0]} / {device[1]} / {line.id}",
        "lat": meta.location.lat if meta.location else None,
        "lon": meta.location.lon if meta.location else None,
        "time_zone": _known_zone(meta.time_zone),
        "lanes": len(line.lanes) + 1 if line.lanes else None,
        **_direction(line, "left_to_right", "left"),
        **_direction(line, "right_to_left", "right"),
    }


def _direction(line: LineMeta, direction: Direction, column: str) -> dict[str, Any]:
    known = line.directions.get(direction)
    name = _shown((known.name if known else None) or line.names.get(direction) or "")
    return {f"{column}_name": name, f"{column}_bearing": known.bearing_deg if known else None}


def _known_zone(name: str) -> str:
    """Return a time zone that this machine knows: days of a device with another one are those of UTC."""
    try:
        zone(name)
    except ConfigError:
        return "UTC"
    return name


def _shown(text: str) -> str:
    """Return what can be stored and shown of a device's text: PostgreSQL takes no NUL."""
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST]
