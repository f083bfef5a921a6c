"""Keep what devices say of themselves, and make a site of each line that is new."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select, update

from edge_app.city.calendar import judge_zone
from edge_app.city.database.engine import change, insert_new, lock_alone, put
from edge_app.city.database.rolling import roll_site
from edge_app.city.database.tables import ATTACHMENT, CONFIG, DEVICE, SITE
from edge_app.city.inventory import MOST_LANES
from edge_app.errors import ConfigError
from edge_app.mqtt.messages import ConfigMeta, Health, LineMeta, Meta, Status
from edge_app.records import Direction

_LONGEST: Final = 200
_LONGEST_ID: Final = 180
_NEW = {"state": "unknown", "heard": 0, "version": "", "contract": "1.0", "health": {}, "meta": {}}


def note_status(connection: Connection, device: tuple[str, str], status: Status, at: int) -> None:
    """Note whether a device is online."""
    _note(connection, device, at, state=status.state, version=status.version, contract=status.contract)


def note_health(connection: Connection, healths: Mapping[tuple[str, str], Health], at: int) -> None:
    """Note the health of devices."""
    names = [{"topic_site": site, "device": device} for site, device in sorted(healths)]
    insert_new(connection, DEVICE, [{**name, **_NEW} for name in names])
    told = (healths[name["topic_site"], name["device"]].model_dump(mode="json", by_alias=True) for name in names)
    rows = [{**name, "heard": at, "health": health} for name, health in zip(names, told, strict=True)]
    change(connection, DEVICE, ["topic_site", "device"], rows)


def note_heard(connection: Connection, devices: Sequence[tuple[str, str]], at: int) -> None:
    """Note that devices have sent something."""
    insert_new(connection, DEVICE, [{"topic_site": site, "device": device, **_NEW} for site, device in devices])
    rows = [{"topic_site": site, "device": device, "heard": at} for site, device in devices]
    change(connection, DEVICE, ["topic_site", "device"], rows)


def without_meta(connection: Connection) -> list[tuple[str, str]]:
    """Return the devices that have not told what they are."""
    statement = select(DEVICE.c.topic_site, DEVICE.c.device).where(DEVICE.c.version == "")
    return [(site, device) for site, device in connection.execute(statement)]


def note_config(connection: Connection, device: tuple[str, str], content: ConfigMeta) -> None:
    """Keep the text of a `config` for ever, also when the device takes it back."""
    row = dict(zip(("topic_site", "device"), device, strict=True))
    put(
        connection,
        CONFIG,
        [{**row, "config": content.config, "content": content.model_dump(mode="json", by_alias=True)}],
    )


def note_meta(connection: Connection, device: tuple[str, str], meta: Meta, at: int, lines: Mapping[str, int]) -> None:
    """Note what a device counts. lines: the key of each of its lines; those without a site get one."""
    _note(connection, device, at, meta=meta.model_dump(mode="json", by_alias=True), version=meta.version)
    for line in meta.lines:
        if line.id in lines:
            _make_site(connection, device, meta, line, lines[line.id])


def _note(connection: Connection, device: tuple[str, str], at: int, **values: Any) -> None:
    row = dict(zip(("topic_site", "device"), device, strict=True))
    insert_new(connection, DEVICE, [{**row, **_NEW}])
    where = (DEVICE.c.topic_site == device[0]) & (DEVICE.c.device == device[1])
    connection.execute(update(DEVICE).where(where).values(heard=at, **values))


def _make_site(connection: Connection, device: tuple[str, str], meta: Meta, line: LineMeta, key: int) -> None:
    """Make a site of a line that counts nowhere, or describe the one that was made so, until somebody has edited it."""
    told = _described(device, meta, line)
    of_line = select(SITE.c.id, SITE.c.time_zone, SITE.c.by_hand).join(ATTACHMENT).where(ATTACHMENT.c.line_id == key)
    of_line = of_line.order_by(SITE.c.by_hand).limit(1)
    found = connection.execute(of_line).one_or_none()
    if found is not None and (found.by_hand or found.time_zone == told["time_zone"]):
        connection.execute(update(SITE).where(SITE.c.id == found.id, SITE.c.by_hand.is_(False)).values(**told))
        return
    lock_alone(connection, ATTACHMENT)  # who adds up at the same time would do so by the old sites
    found = connection.execute(of_line).one_or_none()
    if found is None:
        identifier = _free_name(connection, (*device, line.id))
        connection.execute(SITE.insert(), {"id": identifier, "public": False, "by_hand": False, **told})
        connection.execute(ATTACHMENT.insert(), {"site_id": identifier, "line_id": key, "begins": 0, "turned": False})
        roll_site(connection, identifier)  # its counts may have come before
    elif not found.by_hand:
        connection.execute(update(SITE).where(SITE.c.id == found.id).values(**told))
        roll_site(connection, found.id)  # its hours and days are those of another time zone now


def _free_name(connection: Connection, names: tuple[str, str, str]) -> str:
    """Return the id of a new site: two lines may read alike without the signs that an id has not."""
    plain = re.sub("[^a-z0-9-]+", "-", "-".join(names).lower())[:_LONGEST_ID].strip("-")
    marked = f"{plain}-{hashlib.sha256('/'.join(names).encode()).hexdigest()[:8]}"
    taken = connection.execute(select(SITE.c.id).where(SITE.c.id == plain)).scalar()
    return plain if taken is None else marked


def _described(device: tuple[str, str], meta: Meta, line: LineMeta) -> dict[str, Any]:
    return {
        "road": _shown(line.road) or f"{device[0]} / {device[1]} / {line.id}",
        "lat": meta.location.lat if meta.location else None,
        "lon": meta.location.lon if meta.location else None,
        "time_zone": _known_zone(meta.time_zone),
        "lanes": len(line.lanes) + 1 if line.lanes and len(line.lanes) < MOST_LANES else None,
        **_direction(line, "left_to_right", "left"),
        **_direction(line, "right_to_left", "right"),
    }


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
