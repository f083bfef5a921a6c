"""The process of the office: it holds the signing key, carries out orders, and leads roll-outs from group to group.

There is one at a time, which a row of the database says. What it does next follows from the database and from what the
devices say now, so it may be killed anywhere and goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_app.city.calendar import zone
from edge_app.city.compared import is_night
from edge_app.city.conversation import Commanding, Configuring, Outcome
from edge_app.city.database.audit import note_change
from edge_app.city.database.comparing import HOUR_S, KEPT_S, forget_compared, read_pairs
from edge_app.city.database.engine import Connection, Database
from edge_app.city.database.orders import (
    abandon_sent,
    any_waiting,
    beat,
    forget_files,
    keep_file,
    let_go,
    move_order,
    waiting_orders,
)
from edge_app.city.database.rollouts import (
    Kept,
    change_rollout,
    find_rollout,
    health_of,
    note_events,
    put_members,
    read_led,
    read_members,
)
from edge_app.city.desired import Change, Layer, changed, differences, document, signer_of
from edge_app.city.link import FleetLink
from edge_app.city.office import KnownDevice, command
from edge_app.city.rollouts import CHANGES, change_by_hand
from edge_app.errors import ConfigError, EdgeAppError, StoreError
from edge_app.rollout.leading import (
    Event,
    Evidence,
    Rollout,
    aim_of,
    evidence_of,
    led,
)
from edge_app.rollout.members import Do, Member, Told, step
from edge_app.rollout.stop_rule import StopRule
from edge_app.system.clock import rfc3339
from edge_app.system.key_names import key_name
from edge_app.system.signatures import SigningKey
from edge_app.system.signed import write_signed
from edge_app.system.tables import flat

log = logging.getLogger(__name__)

_BEAT_S: Final = 5.0
_LOOK_S: Final = 0.5
_REST: Final = 30
"""Evidence and health rest so many times as long as it took to read them."""
_LEAST_REST_S: Final = 5.0
_LEAD_REST: Final = 4
"""The same of a look at all devices of all roll-outs."""
_LATE_S: Final = 300
"""An hour is compared when it is over for so long: its last intervals have come."""
_FETCH_S: Final = 900.0
_ANSWER_S: Final = 60.0
_TRIAL_S: Final = 150.0
_AT_ONCE: Final = 50
"""Devices that fetch a candidate at the same time: a server of files and a broker are asked no more than that."""
_TIDY_S: Final = 3600.0


class LostHoldError(EdgeAppError, RuntimeError):
    """Another process of the office has taken over."""


@dataclass(slots=True)
class _Led:
    """A roll-out that is led. members: by name. evidence_due: when it is read again, s of the clock."""

    members: dict[str, Member]
    evidence: Evidence
    evidence_due: float = 0.0


class Leading:
    """The work of the process with the key. It belongs to one thread.

    link: connection to the fleet. holder: name by which the database knows this process. refused:
    returns the keys that the office may not set. look_s: time in which messages
    are taken between two looks at the database. clock, utc: s of a clock that never steps, and UTC s.
    """

    def __init__(
        self,
        database: Database,
        link: FleetLink,
        key: SigningKey,
        holder: str,
        refused: Callable[[Layer], Sequence[str]],
        *,
        look_s: float = _LOOK_S,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._link, self._key, self._holder = database, link, key, holder
        self._refused, self._look_s, self._clock, self._utc = refused, look_s, clock, utc
        self._led: dict[int, _Led] = {}
        self._health: Mapping[str, tuple[Mapping[str, Any], str]] = {}
        self._health_due = self._beat_due = self._tidy_due = self._lead_due = float("-inf")
        self._problem = ""

    def begin(self) -> None:
        """Note that nobody waits for what a former process has asked. Raises StoreError, LostHoldError."""
        with self._mine() as connection:
            abandon_sent(connection, self._utc())

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop` returns True. Raises LostHoldError.

        Without the database nothing is done, and tried again: without an entry in the audit nothing goes out.
        """
        while not stop():
            try:
                self.turn()
                self._problem = ""
            except StoreError as error:
                if str(error) != self._problem:
                    log.warning("%s: nothing is sent until it can be noted", error)
                self._problem = str(error)
                self._led.clear()
                time.sleep(_LOOK_S)

    def turn(self) -> None:
        """Take what has come, and do what is due. Raises StoreError, LostHoldError."""
        self._link.turn(self._look_s)
        now = self._clock()
        if now >= self._beat_due:
            with self._mine():
                pass
            self._beat_due = now + _BEAT_S
        if now >= self._tidy_due:
            with self._database.begin() as connection:
                forget_files(connection, self._utc())
                forget_compared(connection, int(self._utc()) - KEPT_S)
            self._tidy_due = now + _TIDY_S
        if self._link.ready:
            self._carry_out()
        if self._link.ready and now >= self._lead_due:
            self._lead()
            self._lead_due = self._clock() + _LEAD_REST * (self._clock() - now)

    def end(self) -> None:
        """Let another process take over at once. Raises StoreError."""
        with self._database.begin() as connection:
            let_go(connection, self._holder)

    def _mine(self) -> Any:
        """Return a transaction of the process with the key. Raises StoreError, LostHoldError: in its context."""
        return _held(self._database, self._holder, self._utc, lambda: self._link.problem)

    # --- orders

    def _carry_out(self) -> None:
        with self._database.connect() as connection:
            if not any_waiting(connection):
                return
        with self._mine() as connection:
            found = waiting_orders(connection, self._utc())
        for order in found:
            if not self._link.busy(order.subject):
                self._take_order(order)

    def _take_order(self, order: Any) -> None:
        try:
            if order.kind in CHANGES:
                self._change(order)
            elif order.kind == "config":
                self._configure(order)
            else:
                self._command(order)
        except ConfigError as error:
            self._answer(order, "refused", "; ".join(error.problems))
        except (KeyError, TypeError, ValueError) as error:
            self._answer(order, "refused", f"it cannot be read ({error})")

    def _change(self, order: Any) -> None:
        now = self._utc()
        with self._mine() as connection:
            kept = find_rollout(connection, order.subject)
            told = change_by_hand(connection, kept, order.kind, order.who, str(order.args.get("why", "")), now)
            move_order(connection, order.id, "answered", told, now)

    def _device(self, name: str) -> KnownDevice:
        known = self._link.devices.get(name)
        if known is None or not (known.status or known.meta):
            raise ConfigError(f"{name}: the broker knows no such device")
        return known

    def _configure(self, order: Any) -> None:
        known, args = self._device(order.subject), order.args
        change = Change(dict(args.get("values", {})), tuple(args.get("unset", ())), tuple(args.get("left", ())))
        layer = changed(known.base(), change)
        if refused := self._refused(layer):
            raise ConfigError(f"the office may not set {', '.join(refused)}: that stands in the device's own file")
        found = differences(known.desired, layer)
        if not found and known.revision and signer_of(known.retained) == key_name(self._key.public_key):
            self._answer(order, "answered", "nothing to change")
            return
        former, before, revision = known.retained, known.report, known.next_revision
        payload = self._signed(known.name, layer, revision, order.who)
        with self._mine() as connection:
            note_change(connection, self._utc(), order.who, "device.config", known.name, _noted(known, found))
            move_order(connection, order.id, "sent", "", self._utc())
        topic = f"{self._link.root}/{known.name}"
        self._link.expect(known.name, payload.encode(), layer, revision)
        talk = Configuring(topic, payload, revision, before, former)
        self._link.begin(talk, _TRIAL_S, lambda outcome: self._ended(order, outcome))

    def _command(self, order: Any) -> None:
        known = self._device(order.subject)
        if order.kind not in ("restart", "snapshot", "harvest"):
            raise ConfigError(f"{order.kind}: is nothing that this release can order")
        topic = f"{self._link.root}/{known.name}"
        name, args = order.kind, dict(order.args)
        identifier, payload = command(f"{topic}/commands/{name}", args, self._key, "office", self._utc())
        with self._mine() as connection:
            told = {"id": [None, identifier], "args": [None, args]}
            note_change(connection, self._utc(), order.who, f"device.{name}", known.name, told)
            move_order(connection, order.id, "sent", "", self._utc())
        talk = Commanding(topic, name, identifier, payload)
        self._link.begin(talk, _ANSWER_S, lambda outcome: self._ended(order, outcome))

    def _ended(self, order: Any, outcome: Outcome) -> None:
        refused = "expired" if outcome.text.startswith("no answer") else "refused"
        self._answer(order, "answered" if outcome.ok else refused, outcome.text, outcome)

    def _answer(self, order: Any, state: Any, text: str, outcome: Outcome | None = None) -> None:
        with self._mine() as connection:
            move_order(connection, order.id, state, text, self._utc())
            if outcome is not None and outcome.ok and outcome.name:
                keep_file(connection, order.id, outcome.name, outcome.content)

    # --- roll-outs

    def _lead(self) -> None:
        with self._database.connect() as connection:
            found = read_led(connection, self._utc())
            for kept in found:
                if kept.id not in self._led:
                    self._led[kept.id] = _Led(_asked_again(read_members(connection, kept.id)), kept.evidence)
        for gone in self._led.keys() - {kept.id for kept in found}:
            del self._led[gone]
        of_device: dict[str, int] = {}
        for kept in found:  # newest first: it is the one that says what a device has
            mine = self._led[kept.id]
            present = {
                name: one for name, one in mine.members.items() if of_device.setdefault(name, kept.id) == kept.id
            }
            self._lead_one(kept, mine, present)

    def _lead_one(self, kept: Kept, mine: _Led, present: Mapping[str, Member]) -> None:
        rollout, now = kept.rollout, self._utc()
        self._read_health(mine.members)
        evidence = self._evidence(kept, mine)
        told = {name: self._told(name) for name in mine.members}
        after, work = dict(mine.members), list[tuple[Member, Do]]()
        fetching = sum(
            one.state == "sent" and not one.fetched and self._link.busy(name) for name, one in present.items()
        )
        for name, member in present.items():
            moved, do = step(member, told[name], aim_of(rollout, member), now, rollout.wanted)
            if do == "fetch":
                if fetching >= _AT_ONCE:
                    continue
                fetching += 1
            after[name] = moved
            if do is not None:
                work.append((moved, do))
        changed_members = [one for name, one in after.items() if one != mine.members[name]]
        back = [
            Event("back", one.name, one.reason, one.name)
            for one in changed_members
            if one.state == "back" != mine.members[one.name].state
        ]
        next_one, events = led(rollout, list(after.values()), told, evidence, now)
        told_anew = evidence if evidence != kept.evidence else None
        if not (changed_members or work or events or told_anew):
            return
        sending = [self._prepared(rollout, member, do) for member, do in work]
        with self._mine() as connection:
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

    def _prepared(self, rollout: Rollout, member: Member, do: Do) -> _Sending:
        who = f"roll-out {rollout.name}"
        return self._fetching(rollout, member.name, who) if do == "fetch" else self._setting(rollout, member, who)

    def _fetching(self, rollout: Rollout, name: str, who: str) -> _Sending:
        topic, args = f"{self._link.root}/{name}", dict(rollout.bundle)
        identifier, payload = command(f"{topic}/commands/fetch", args, self._key, "rollout", self._utc())
        talk = Commanding(topic, "fetch", identifier, payload)

        def send() -> None:
            self._link.begin(talk, _FETCH_S, lambda outcome: self._fetched(rollout, name, outcome))

        return _Sending(who, "device.fetch", name, {"id": [None, identifier], "args": [None, args]}, send)

    def _setting(self, rollout: Rollout, member: Member, who: str) -> _Sending:
        known, name = self._link.devices[member.name], member.name
        values = rollout.wanted.values(member, aim_of(rollout, member))
        left = tuple(key for key in rollout.wanted.keys if key not in values)
        layer, revision = changed(known.base(), Change(values, (), left)), known.next_revision
        payload = self._signed(name, layer, revision, who).encode()
        told = _noted(known, differences(known.desired, layer))
        return _Sending(who, "device.config", name, told, lambda: self._link.configure(name, payload, layer, revision))

    def _fetched(self, rollout: Rollout, name: str, outcome: Outcome) -> None:
        with self._database.connect() as connection:
            kept = find_rollout(connection, rollout.name)
        mine = self._led.get(kept.id)
        if mine is None or name not in mine.members:
            return
        reason = "the candidate lies on it" if outcome.ok else outcome.text
        after = replace(mine.members[name], fetched=outcome.ok, reason=reason)
        with self._mine() as connection:
            put_members(connection, kept.id, [after])
        mine.members[name] = after

    def _signed(self, name: str, layer: Layer, revision: int, author: str) -> str:
        text = document(layer, revision, rfc3339(round(self._utc(), 3)), author)
        topic = f"{self._link.root}/{name}/config/desired"
        return write_signed(topic, text, key_name(self._key.public_key), self._key.sign)

    def _told(self, name: str) -> Told:
        known = self._link.devices.get(name)
        if known is None:
            return Told()
        health, _ = self._health.get(name, ({}, ""))
        source = health.get("source") or {}
        blind = ""
        if source.get("state", "ok") != "ok":
            blind = f"its camera is {source['state']}"
        elif "blind" in health.get("quality", ()):
            blind = "its camera sees nothing"
        return Told(
            online=known.status.get("state") == "online",
            blind=blind,
            drifted="model" in health.get("drift", ()),
            model=known.model,
            layer={} if known.lost else flat(known.desired.set),
            revision=0 if known.lost else known.revision,
            lost=known.lost,
            report=known.reported.state,
            highest=known.reported.highest,
            problems=known.reported.problems,
            busy=self._link.busy(name),
        )

    def _read_health(self, names: Mapping[str, Member]) -> None:
        begun = self._clock()
        if begun < self._health_due and names.keys() <= self._health.keys():
            return
        every = {name for one in self._led.values() for name in one.members}
        with self._database.connect() as connection:
            self._health = {name: ({}, "UTC") for name in every} | dict(health_of(connection, every))
        self._health_due = self._clock() + max(_LEAST_REST_S, _REST * (self._clock() - begun))

    def _evidence(self, kept: Kept, mine: _Led) -> Evidence:
        """Return what a roll-out is judged by: all hours that are over, and at most as old as it took to read them."""
        begun = self._clock()
        if kept.rollout.state not in ("running", "paused") or begun < mine.evidence_due:
            return mine.evidence
        rollout, now = kept.rollout, self._utc()
        formers = {name: one.former[:12] for name, one in mine.members.items() if one.former}
        zones = {name: _zone(told[1]) for name, told in self._health.items()}
        with self._database.connect() as connection:
            since, until = int(rollout.begins[0]), int(now) - _LATE_S - HOUR_S
            pairs = read_pairs(connection, rollout.wanted.candidate[:12], formers, since - HOUR_S, until + 1)
        rule, begins = StopRule(), list(rollout.begins[1:])
        for (hour, name), (candidate, before) in sorted(pairs.items()):
            while begins and hour >= begins[0]:
                rule.next_group()
                begins.pop(0)
            rule.add(candidate, before, night=is_night(hour, zones.get(name, ZoneInfo("UTC"))))
        for _ in begins:
            rule.next_group()
        found = evidence_of(rule, now)
        if replace(found, at=mine.evidence.at) != mine.evidence:
            mine.evidence = found
        mine.evidence_due = self._clock() + max(_LEAST_REST_S, _REST * (self._clock() - begun))
        return mine.evidence


@contextmanager
def _held(
    database: Database, holder: str, utc: Callable[[], float], problem: Callable[[], str]
) -> Iterator[Connection]:
    with database.begin() as connection:
        if not beat(connection, holder, utc(), problem()):
            raise LostHoldError("another process of the office has taken over: this one ends")
        yield connection


def _asked_again(members: Sequence[Member]) -> dict[str, Member]:
    """Return devices by name; those that a former process has asked to fetch are asked again at once."""
    return {
        one.name: replace(one, tries=one.tries - 1, changed=0.0) if one.tries and not one.fetched else one
        for one in members
    }


def _noted(known: KnownDevice, change: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"revision": [known.revision, known.next_revision], **change}


def _zone(name: str) -> ZoneInfo:
    """Return a time zone, UTC for one that nobody knows."""
    try:
        return zone(name)
    except ConfigError:
        return ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class _Sending:
    """What is noted in the audit, and then sent."""

    who: str
    action: str
    device: str
    told: Mapping[str, Any]
    send: Callable[[], None]
