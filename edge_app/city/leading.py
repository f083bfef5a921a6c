"""Lead roll-outs from group to group: look at their devices, judge them, and send each what it is to have.

What it does next follows from the database and from what the devices say now, so it may be killed anywhere and goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from edge_app.city.conversation import Outcome
from edge_app.city.database.audit import note_change
from edge_app.city.database.engine import Database
from edge_app.city.database.rollouts import (
    Kept,
    change_rollout,
    find_rollout,
    note_events,
    put_members,
    read_led,
    read_members,
)
from edge_app.city.evidence import read_evidence
from edge_app.city.health_watch import LEAST_REST_S, HealthWatch
from edge_app.city.holding import Hold
from edge_app.city.link import FleetLink
from edge_app.city.office import KnownDevice
from edge_app.city.resting import rest_after
from edge_app.city.signer import Signer
from edge_app.city.steps import Sending, Steps
from edge_app.rollout.following import followed
from edge_app.rollout.leading import ACTIVE, Event, Evidence, Rollout, aim_of, led
from edge_app.rollout.members import COMMANDS, OUT, Do, Kind, Member, Out, Told, step
from edge_app.system.tables import flat

log = logging.getLogger(__name__)

_AT_ONCE: Final = 50
"""Devices that fetch a candidate at the same time: a server of files and a broker are asked no more than that."""


@dataclass(slots=True)
class _Led:
    """A roll-out that is led. members: by name. evidence_due: when it is read again, s of the clock."""

    kind: Kind
    active: bool
    members: dict[str, Member]
    evidence: Evidence
    evidence_due: float = float("-inf")


class Leading:
    """Roll-outs that are led. clock, utc: s of a clock that never steps, and UTC s."""

    def __init__(
        self,
        database: Database,
        link: FleetLink,
        signer: Signer,
        hold: Hold,
        *,
        clock: Callable[[], float],
        utc: Callable[[], float],
    ) -> None:
        self._database, self._link, self._hold = database, link, hold
        self._clock, self._utc = clock, utc
        self._steps = Steps(link, signer)
        self._watch = HealthWatch(database, clock, utc)
        self._led: dict[int, _Led] = {}

    def forget(self) -> None:
        """Read all roll-outs anew at the next look."""
        self._led.clear()

    def lead(self) -> None:
        """Look at all devices of all roll-outs, and do what is due. Raises StoreError, LostHoldError."""
        with self._database.connect() as connection:
            found = read_led(connection, self._utc())
            for kept in found:
                if kept.id not in self._led:
                    members = _asked_again(read_members(connection, kept.id))
                    self._led[kept.id] = _Led(kept.rollout.wanted.kind, True, members, kept.evidence)
                self._led[kept.id].active = kept.rollout.state in ACTIVE
        for gone in self._led.keys() - {kept.id for kept in found}:
            del self._led[gone]
        self._read_health()
        of_device: dict[tuple[Kind, str], int] = {}
        # One that is active says what a device has, else the newest; they come newest first.
        for kept in sorted(found, key=lambda one: one.rollout.state not in ACTIVE):
            mine = self._led[kept.id]
            present = {
                name: one
                for name, one in mine.members.items()
                if _concerns(kept.rollout, one) and of_device.setdefault((mine.kind, name), kept.id) == kept.id
            }
            self._lead_one(kept, mine, present)

    def _lead_one(self, kept: Kept, mine: _Led, present: Mapping[str, Member]) -> None:
        rollout, now = kept.rollout, self._utc()
        evidence = self._evidence(kept, mine)
        unpaired = frozenset(evidence.unpaired)
        told = {name: self._told(name, mine.kind, unpaired) for name in mine.members}
        after, work = self._stepped(rollout, mine, present, told)
        changed_members = [one for name, one in after.items() if one != mine.members[name]]
        back = [
            Event(cast(Out, one.state), one.name, one.reason, one.name)
            for one in changed_members
            if one.state in OUT and one.state != mine.members[one.name].state
        ]
        next_one, events = led(rollout, list(after.values()), told, evidence, now)
        told_anew = evidence if evidence != kept.evidence else None
        if not (changed_members or work or events or told_anew):
            return
        sending = [self._prepared(rollout, after, member, do) for member, do in work]
        changed_members = [after[one.name] for one in changed_members]
        with self._hold.begin() as connection:
            if (events or told_anew) and not change_rollout(connection, kept, next_one, events, now, told_anew):
                return  # a person was quicker: the next turn looks anew
            note_events(connection, kept.id, back, now)
            put_members(connection, kept.id, changed_members)
            for one in sending:
                note_change(connection, now, one.who, one.action, one.device, one.told)
        mine.members = after
        if events:
            mine.evidence_due = float("-inf")
        for event in (*back, *events):
            log.info("roll-out %s: %s %s (%s)", rollout.name, event.what.replace("_", " "), event.subject, event.why)
        for one in sending:
            one.send()

    def _stepped(
        self, rollout: Rollout, mine: _Led, present: Mapping[str, Member], told: Mapping[str, Told]
    ) -> tuple[dict[str, Member], list[tuple[Member, Do]]]:
        """Return all devices after their next step, and what is to be sent to which of them."""
        after, work = dict(mine.members), list[tuple[Member, Do]]()
        fetching = sum(
            one.state == "sent" and not one.fetched and self._link.busy(name) for name, one in present.items()
        )
        for name, member in present.items():
            member = replace(member, usual=self._watch.usual(member))
            aim, now, wanted = aim_of(rollout, member), self._utc(), rollout.wanted
            if member.follows:
                after[name] = followed(member, told[name], aim, now, wanted)
                continue
            moved, do = step(member, told[name], aim, now, wanted)
            if do == "restore" and rollout.state == "taken_back":
                continue  # the layer was taken back everywhere: a person has set this since
            if do in ("fetch", "release"):
                if fetching >= _AT_ONCE:
                    continue
                fetching += 1
            after[name] = moved
            if do is not None:
                work.append((moved, do))
        return after, work

    def _prepared(self, rollout: Rollout, after: dict[str, Member], member: Member, do: Do) -> Sending:
        """Return what is sent to a device; a command is noted on it with its id before that."""
        if do not in COMMANDS:
            return self._steps.setting(rollout, member, do)
        sending = self._steps.command(
            rollout, member, do, lambda outcome: self._answered(rollout, member.name, outcome)
        )
        if do != "fetch":
            after[member.name] = replace(member, order=sending.identifier)
        return sending

    def _answered(self, rollout: Rollout, name: str, outcome: Outcome) -> None:
        """Note what a device has answered to a command."""
        with self._database.connect() as connection:
            kept = find_rollout(connection, rollout.name)
        mine = self._led.get(kept.id)
        if mine is None or name not in mine.members:
            return
        before = mine.members[name]
        after = self._steps.answered(before, outcome)
        if after.fetched and not before.fetched:  # from now on it may be asked why it does not use it
            after = replace(after, changed=self._utc())
        with self._hold.begin() as connection:
            put_members(connection, kept.id, [after])
        mine.members[name] = after

    def _told(self, name: str, kind: Kind, unpaired: Collection[str]) -> Told:
        known = self._link.devices.get(name, KnownDevice(name))
        release, absent = known.reported.release, self._watch.absent(name, known.status)
        return Told(
            online=known.status.get("state") == "online" and not absent,
            absent=absent,
            blind=self._watch.blind(name),
            drifted=self._watch.drifted(name, kind),
            model=known.model,
            version=known.version,
            layer={} if known.lost else flat(known.desired.set) | dict.fromkeys(known.desired.unset),
            revision=0 if known.lost else known.revision,
            lost=known.lost if kind == "detector" else "",
            report=known.reported.state,
            highest=known.reported.highest,
            problems=known.reported.problems,
            busy=self._link.busy(name),
            order=release.id if release else "",
            order_state=release.state if release else "",
            order_problem=release.problem if release else "",
            unwell=self._watch.unwell(name),
            unpaired=self._watch.unpaired(name) if name in unpaired else "",
        )

    def _read_health(self) -> None:
        every = {name for one in self._led.values() for name in one.members}
        given = [
            (one.kind, member)
            for one in self._led.values()
            if one.active
            for member in one.members.values()
            if member.state == "running"
        ]
        self._watch.read(every, given)

    def _evidence(self, kept: Kept, mine: _Led) -> Evidence:
        """Return what a roll-out is judged by, at most as old as it took to read it."""
        begun = self._clock()
        if kept.rollout.state not in ("running", "paused") or begun < mine.evidence_due:
            return mine.evidence
        with self._database.connect() as connection:
            found = read_evidence(connection, kept.rollout, mine.members, self._watch.zones, self._utc())
        if replace(found, at=mine.evidence.at) != mine.evidence:
            mine.evidence = found
        mine.evidence_due = self._clock() + rest_after(self._clock() - begun, least=LEAST_REST_S)
        return mine.evidence


def _concerns(rollout: Rollout, member: Member) -> bool:
    """Return whether a roll-out says what a device has: one that was taken back there does not any more."""
    return rollout.state != "taken_back" or member.state not in ("waiting", "returned")


def _asked_again(members: Sequence[Member]) -> dict[str, Member]:
    """Return devices by name; those that a former process has asked to fetch are asked again at once."""
    return {
        one.name: replace(one, tries=one.tries - 1, changed=0.0) if one.tries and not one.fetched else one
        for one in members
    }
