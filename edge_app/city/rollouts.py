"""Begin a roll-out, and change one as a person wants it: noted in the audit, and led by the process with the key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from edge_app.city.database.audit import note_change
from edge_app.city.database.engine import Connection
from edge_app.city.database.rollouts import (
    Kept,
    add_rollout,
    change_rollout,
    free_name,
    read_led,
    read_members,
    read_rollouts,
)
from edge_app.city.office import KnownDevice
from edge_app.city.releasing import first_cameras
from edge_app.errors import ConfigError
from edge_app.rollout.leading import ACTIVE, Event, Rollout, begun, gone_on, paused, taken_back
from edge_app.rollout.members import Member, Wanted
from edge_app.rollout.plan import Cascade, groups

CHANGES: Final[Mapping[str, Callable[[Rollout, str, str, float], tuple[Rollout, Sequence[Event]]]]] = {
    "pause": paused,
    "go_on": gone_on,
    "take_back": taken_back,
}


def start_rollout(
    connection: Connection,
    name: str,
    wanted: Wanted,
    bundle: Mapping[str, Any],
    devices: Sequence[KnownDevice],
    cascade: Cascade,
    who: str,
    now: float,
    first: Collection[str] = (),
) -> tuple[Kept, Sequence[Member]]:
    """Keep a new roll-out, whose first group begins now. devices: that get the candidate; those that have it are left.

    first: devices that a person wants in the first group.

    Raises ConfigError: when none is left, and when another roll-out has not ended on one of them.
    """
    following = first_cameras(devices) if wanted.kind == "release" else {}
    if len(following) == len(devices):
        raise ConfigError(
            f"none of the {len(devices)} devices takes releases; of several cameras on one machine the first does"
        )
    ordered = [one for one in devices if one.name not in following]
    left = [one.name for one in ordered if not wanted.runs(one.model, one.version)]
    beside = {name: leader for name, leader in following.items() if leader in left}
    if not left:
        raise ConfigError(f"all of the {len(ordered)} devices run {wanted.words} already")
    for kept in read_led(connection, now):
        if kept.rollout.state in ACTIVE and (
            both := sorted({one.name for one in _members(connection, kept)} & {*left, *beside})
        ):
            raise ConfigError(
                f"{both[0]}: the roll-out {kept.rollout.name} has not ended there; wait, or take it back first"
            )
    parts = groups(left, wanted.candidate, cascade, [following.get(name) or name for name in first])
    members = [Member(device, number) for number, part in enumerate(parts) for device in part]
    number_of = {one.name: one.group for one in members}
    members += [Member(name, number_of[leader], follows=leader) for name, leader in sorted(beside.items())]
    rollout = begun(free_name(connection, name), wanted, bundle, cascade, who, now)
    event = Event("started", who, f"{len(members)} devices in {len(parts)} groups")
    kept = add_rollout(connection, rollout, members, event)
    told = {
        "candidate": [None, wanted.candidate],
        "kind": [None, wanted.kind],
        "devices": [None, len(members)],
        "url": [None, bundle["url"]],
    }
    note_change(connection, now, who, "rollout.start", rollout.name, told)
    return kept, members


def change_by_hand(connection: Connection, kept: Kept, kind: str, who: str, why: str, now: float) -> str:
    """Pause a roll-out, let it go on or take it back; return what happens now, one sentence. kind: of `CHANGES`.

    Raises ConfigError: when it is in no state for that, or somebody else changes it at this moment.
    """
    rollout = kept.rollout
    if kind == "take_back":
        _refuse_covered(connection, kept)
    after, events = CHANGES[kind](rollout, who, why, now)
    if not change_rollout(connection, kept, after, events, now, None):
        raise ConfigError(f"{rollout.name}: somebody else has changed it at this moment: try again")
    note_change(connection, now, who, f"rollout.{kind}", rollout.name, {"state": [rollout.state, after.state]})
    return {
        "pause": "no further device gets the candidate; those that have it keep it, and what stops it takes it back",
        "go_on": "it goes on with the present group",
        "take_back": "every device gets what it had before",
    }[kind]


def _refuse_covered(connection: Connection, kept: Kept) -> None:
    """Refuse to take back what a later roll-out has changed on the same devices. Raises ConfigError.

    Where a later release was taken back, it is the one that these devices would go "back" to.
    """
    mine = {one.name for one in _members(connection, kept)}
    kind = kept.rollout.wanted.kind
    for other in read_rollouts(connection):
        if other.id <= kept.id or other.rollout.wanted.kind != kind:
            continue
        over = other.rollout.state == "taken_back"
        both = [one for one in _members(connection, other) if one.name in mine]
        if both and not over:
            raise ConfigError(
                f"{kept.rollout.name}: {other.rollout.name} has begun later on the same devices; take that back first"
            )
        if kind == "release" and (had := sorted(one.name for one in both if one.got)):
            raise ConfigError(
                f"{kept.rollout.name}: {had[0]} had {other.rollout.wanted.words} later and would go back to that; "
                "start a roll-out of the release that shall run there, with --older"
            )


def _members(connection: Connection, kept: Kept) -> Sequence[Member]:
    return read_members(connection, kept.id)
