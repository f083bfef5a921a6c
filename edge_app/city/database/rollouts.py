"""Keep roll-outs, their devices and their history."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from edge_app.city.database.engine import put
from edge_app.city.database.tables import DEVICE, ROLLOUT, ROLLOUT_DEVICE, ROLLOUT_EVENT
from edge_app.errors import ConfigError
from edge_app.rollout.leading import ACTIVE, Event, Evidence, Rollout
from edge_app.rollout.members import Member, Wanted
from edge_app.rollout.plan import Cascade
from edge_app.rollout.release_sums import find_archive
from edge_app.rollout.wanted_detector import WantedDetector
from edge_app.rollout.wanted_release import WantedRelease

_REACHED_S: Final = 30 * 86_400
"""Devices that were away are reached for so long after the end of a roll-out."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A roll-out as it is kept. id, version: of its row; a change of another version is refused."""

    id: int
    version: int
    rollout: Rollout
    evidence: Evidence


def read_rollouts(connection: Connection, states: Collection[str] | None = None) -> list[Kept]:
    """Return roll-outs, newest first. states: only those in one of them."""
    statement = select(ROLLOUT).order_by(ROLLOUT.c.id.desc())
    rows = connection.execute(statement if states is None else statement.where(ROLLOUT.c.state.in_(list(states))))
    return [_kept(row) for row in rows]


def read_led(connection: Connection, now: float) -> list[Kept]:
    """Return the roll-outs in which something may have to be done or told, newest first. now: UTC s."""
    found = read_rollouts(connection, (*ACTIVE, "done", "taken_back"))
    return [one for one in found if one.rollout.state in ACTIVE or _reaches(one.rollout, now)]


def _reaches(rollout: Rollout, now: float) -> bool:
    """Return whether devices that were away are still reached after the end of a roll-out."""
    return now - rollout.changed < _REACHED_S


def find_rollout(connection: Connection, name: str) -> Kept:
    """Return a roll-out by its name. Raises ConfigError: when there is none."""
    row = connection.execute(select(ROLLOUT).where(ROLLOUT.c.name == name)).one_or_none()
    if row is None:
        raise ConfigError(f"{name}: there is no such roll-out; `edge-app fleet rollout list` shows them")
    return _kept(row)


def free_name(connection: Connection, name: str) -> str:
    """Return a name that no roll-out has: the given one, or with a number."""
    taken = set(connection.execute(select(ROLLOUT.c.name)).scalars())
    return next(one for one in (name, *(f"{name}-{n}" for n in range(2, len(taken) + 3))) if one not in taken)


def add_rollout(connection: Connection, rollout: Rollout, members: Sequence[Member], event: Event) -> Kept:
    """Keep a new roll-out."""
    evidence = Evidence()
    row = {**_columns(rollout), "version": 1, "evidence": asdict(evidence)}
    (key,) = connection.execute(ROLLOUT.insert().values(row)).inserted_primary_key or (0,)
    put_members(connection, key, members)
    note_events(connection, key, [event], rollout.changed)
    return Kept(key, 1, rollout, evidence)


def change_rollout(
    connection: Connection, kept: Kept, rollout: Rollout, events: Sequence[Event], at: float, evidence: Evidence | None
) -> bool:
    """Change a roll-out and add to its history; return False, with nothing changed, where somebody else was quicker."""
    values = {**_columns(rollout), "version": kept.version + 1}
    if evidence is not None:
        values["evidence"] = asdict(evidence)
    same = update(ROLLOUT).where(ROLLOUT.c.id == kept.id, ROLLOUT.c.version == kept.version)
    if connection.execute(same.values(values)).rowcount != 1:
        return False
    note_events(connection, kept.id, events, at)
    return True


def read_members(connection: Connection, rollout_id: int) -> list[Member]:
    """Return the devices of a roll-out, by group and name."""
    of_it = select(ROLLOUT_DEVICE).where(ROLLOUT_DEVICE.c.rollout_id == rollout_id)
    rows = connection.execute(
        of_it.order_by(ROLLOUT_DEVICE.c.group_no, ROLLOUT_DEVICE.c.topic_site, ROLLOUT_DEVICE.c.device)
    )
    return [
        Member(
            name=f"{row.topic_site}/{row.device}",
            group=row.group_no,
            state=row.state,
            reason=row.reason,
            changed=row.changed,
            fetched=row.fetched,
            tries=row.tries,
            former=row.former,
            before=row.before,
            drifted=row.drifted,
            order=row.order_id,
            got=row.got,
            follows=row.follows,
            usual=row.usual,
        )
        for row in rows
    ]


def put_members(connection: Connection, rollout_id: int, members: Sequence[Member]) -> None:
    """Keep devices of a roll-out as they are now."""
    rows = []
    for one in members:
        site, _, device = one.name.partition("/")
        values = {key: value for key, value in asdict(one).items() if key not in ("name", "group", "order")}
        values |= {"group_no": one.group, "order_id": one.order, "changed": int(one.changed), "got": int(one.got)}
        rows.append({"rollout_id": rollout_id, "topic_site": site, "device": device, **values})
    put(connection, ROLLOUT_DEVICE, rows)


def note_events(connection: Connection, rollout_id: int, events: Sequence[Event], at: float) -> None:
    """Add to the history of a roll-out. at: UTC s."""
    rows = [{"rollout_id": rollout_id, "at": int(at), **asdict(event)} for event in events]
    if rows:
        connection.execute(ROLLOUT_EVENT.insert(), rows)


def read_events(connection: Connection, rollout_id: int) -> Sequence[Row[Any]]:
    """Return the history of a roll-out, oldest first."""
    of_it = select(ROLLOUT_EVENT).where(ROLLOUT_EVENT.c.rollout_id == rollout_id)
    return connection.execute(of_it.order_by(ROLLOUT_EVENT.c.id)).all()


@dataclass(frozen=True, slots=True)
class Health:
    """What the city knows of a device. told: its last health. heard: when its last message came, UTC s, 0 for never."""

    told: Mapping[str, Any] = field(default_factory=dict)
    time_zone: str = "UTC"
    heard: int = 0


def health_of(connection: Connection, names: Collection[str]) -> tuple[Mapping[str, Health], int]:
    """Return what is known of the health of devices, and when the newest message of any device of the city came."""
    columns = (DEVICE.c.topic_site, DEVICE.c.device, DEVICE.c.health, DEVICE.c.meta, DEVICE.c.heard)
    found, newest = dict[str, Health](), 0
    for row in connection.execute(select(*columns)):
        newest = max(newest, row.heard)
        if (name := f"{row.topic_site}/{row.device}") in names:
            found[name] = Health(row.health, str(row.meta.get("time_zone", "UTC")), row.heard)
    return found, newest


def _columns(rollout: Rollout) -> dict[str, Any]:
    return {
        "name": rollout.name,
        "kind": rollout.wanted.kind,
        "candidate": rollout.wanted.candidate,
        "key": rollout.wanted.key if isinstance(rollout.wanted, WantedDetector) else "",
        "bundle": dict(rollout.bundle),
        "cascade": asdict(rollout.cascade),
        "state": rollout.state,
        "group_no": rollout.group,
        "group_begins": list(rollout.begins),
        "since": int(rollout.since),
        "why": rollout.why,
        "who": rollout.who,
        "changed": int(rollout.changed),
    }


def _kept(row: Row[Any]) -> Kept:
    cascade = Cascade(**{**row.cascade, "shares": tuple(row.cascade["shares"])})
    rollout = Rollout(
        name=row.name,
        wanted=_wanted(row),
        bundle=row.bundle,
        cascade=cascade,
        state=row.state,
        group=row.group_no,
        begins=tuple(row.group_begins),
        since=row.since,
        why=row.why,
        who=row.who,
        changed=row.changed,
    )
    lists = {name: tuple(row.evidence.get(name, ())) for name in ("reasons", "open", "unpaired")}
    known = {**row.evidence, **lists}
    return Kept(row.id, row.version, rollout, Evidence(**known))


def _wanted(row: Row[Any]) -> Wanted:
    if row.kind == "detector":
        return WantedDetector(row.key, row.candidate)
    archive = find_archive(row.bundle.get("sums", ""), row.candidate)
    return WantedRelease(row.candidate, archive.version if archive else "")
