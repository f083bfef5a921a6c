"""Take messages of devices from a broker, store them, acknowledge what is stored, and ask for what is missing.

A worker has one thread. It collects messages for a moment, stores them in one transaction and acknowledges them after
its commit: a message of a batch that fails is never acknowledged, and comes again over the next connection.
"""

from __future__ import annotations

import gc
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from edge_app.city.asking import Asking, DeviceName
from edge_app.city.database import fleet, missing
from edge_app.city.database.comparing import note_compared
from edge_app.city.database.engine import Connection, Database, ValueRefusedError
from edge_app.city.database.figures import forget_figures, note_figures
from edge_app.city.database.reading import is_there
from edge_app.city.database.reviews import forget_reviews, store_reviews
from edge_app.city.database.rolling import roll_up
from edge_app.city.database.storing import Storing, forget_aside, keep_aside
from edge_app.city.desired import read_document
from edge_app.city.inbox import Inbox
from edge_app.city.pace import Pace, State
from edge_app.city.portion import Portion
from edge_app.city.reading import (
    PingResult,
    ReadReview,
    ResendResult,
    UnreadableError,
    check_name,
    check_newest,
    check_text,
    read_counts,
    read_flows,
    read_levels,
    read_payload,
    read_result,
    read_review,
    read_shadow,
)
from edge_app.city.records import Gap, Interval, LineName
from edge_app.errors import StoreError
from edge_app.mqtt.count_messages import ShadowMessage
from edge_app.mqtt.device_messages import ConfigMeta, Health, Meta, Status
from edge_app.mqtt.encoding import encode
from edge_app.mqtt.events import Message
from edge_app.mqtt.figures import Figures
from edge_app.mqtt.office_messages import CommandMessage, ConfigReported, ReplyMessage
from edge_app.records import FLOWS
from edge_app.system.names import clean

log = logging.getLogger(__name__)

_BATCH: Final = 2_000
FEW: Final = 200
"""Messages of other kinds that are stored and acknowledged together: each takes statements of its own, and a broker
that hears nothing of a worker for too long gives all of them again, for ever."""
_COLLECT_S: Final = 0.2
"""Time for which a batch is collected, so that a slow stream costs few transactions."""
_ENOUGH: Final = 500
_PAUSED_S: Final = 0.02
"""A batch of so many is enough once nothing has come for so long: the broker waits for acknowledgements."""
_ASK_EVERY_S: Final = 2.0
_ASK_REST: Final = 30
"""It rests so many times as long as it took to read the numbers of all series: half a second of 10,000 devices."""
_ROLL_EVERY_S: Final = 5.0
_ROLL_BEHIND_S: Final = 60.0
"""Further wait while a backlog is worked off, whose quarters fill up first."""
_ROLL_LEAST: Final = 50
_ROLL_MOST: Final = 2_000
"""Quarters that are added up in one transaction."""
_HEARD_EVERY_S: Final = 15
"""How exact the time is at which a device was heard last."""
_RECALL_EVERY_S: Final = 5.0
_RECALL_AT_ONCE: Final = 50
_FORGET_EVERY_S: Final = 3600.0
_MOST_ASIDE: Final = 50_000
"""Messages that stay kept aside, the newest: 800 MB at most."""
_PAUSE_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 8.0
"""Wait after the database could not be used, longer where it answers and stores nothing, as with a full disk."""
_RARELY: Final = (50_000, 20, 50)
"""When Python looks for circles of objects: a batch is many that live until its commit, and none is a circle."""
_PENDING: Final = "pending"
_OF_VALUES: Final = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""Faults that a value of a message may provoke here. One that is retained comes again at every start: it must not end
the ingest of all others. What this machine lacks, such as memory, ends the worker as before."""


@dataclass(slots=True)
class Tally:
    """What a worker has done since its start."""

    counts: Counter[str] = field(default_factory=Counter)
    database_problem: str = ""


@dataclass(slots=True)
class _Told:
    """What the devices of a batch say of themselves and is written together. newest: number of a series."""

    status: dict[DeviceName, Status] = field(default_factory=dict)
    health: dict[DeviceName, Health] = field(default_factory=dict)
    meta: dict[DeviceName, Meta] = field(default_factory=dict)
    configs: dict[tuple[str, str, str], ConfigMeta] = field(default_factory=dict)
    newest: dict[tuple[LineName, str], int] = field(default_factory=dict)
    figures: dict[DeviceName, Figures] = field(default_factory=dict)
    reviews: list[ReadReview] = field(default_factory=list)
    compared: list[ShadowMessage] = field(default_factory=list)
    layers: dict[DeviceName, dict[str, Any]] = field(default_factory=dict)

    def note_newest(self, device: DeviceName, installation: str, newest: Mapping[str, int]) -> None:
        """Note the newest number of each line. Raises UnreadableError: for what no device tells."""
        if not installation:
            return
        for line, seq in newest.items():
            name = LineName(*device, line)
            check_name(name, installation)
            known = self.newest.get((name, installation), 0)
            self.newest[name, installation] = max(known, check_newest(seq))


class Worker:
    """Ingest of one worker.

    root: beginning of all topics. pictures_s: time, s, for which pictures for reviews are kept. utc, clock: UTC seconds
    and monotonic seconds.
    """

    def __init__(
        self,
        inbox: Inbox,
        database: Database,
        root: str,
        *,
        asking: Asking | None = None,
        on_stored: Callable[[Sequence[Interval]], None] = lambda _: None,
        pictures_s: int = 30 * 86_400,
        utc: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally()
        self._inbox, self._database, self._root = inbox, database, root
        self._asking, self._on_stored, self._utc, self._clock = asking, on_stored, utc, clock
        self._storing, self._pictures_s = Storing(database.archive), pictures_s
        self._pace, self._pause_s = Pace(), _PAUSE_S
        self._fault: Exception | None = None
        self._rolling = Portion(_ROLL_LEAST, _ROLL_MOST)
        self._ask_at = self._roll_at = self._recall_at = 0.0
        self._recalled: set[DeviceName] = set()
        self._noted: dict[DeviceName, float] = {}
        self._figured: dict[DeviceName, datetime] = {}
        self._forget_at = 0.0

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop` returns True; the body of a thread. A fault ends it and is kept for `raise_fault`."""
        gc.set_threshold(*_RARELY)
        try:
            while not stop():
                self.turn()
        except Exception as error:
            self._fault = error

    def raise_fault(self) -> None:
        """Raise the fault that has ended `run`, if one has."""
        if self._fault is not None:
            raise self._fault

    @property
    def broker_problem(self) -> str:
        """One sentence on why there is no connection to the broker, empty with one; any thread may read it."""
        return self._inbox.problem

    @property
    def state(self) -> State:
        """How this worker keeps up; any thread may read it."""
        return self._pace.state(self._clock())

    def turn(self) -> None:
        """Take one batch, and do what is due. While the database fails nothing is acknowledged."""
        if self.tally.database_problem and not self._answers_again():
            return
        batch = self._collect()
        self._pace.looked(self._clock(), connected=not self._inbox.problem, came=bool(batch))
        try:
            for part in parts_of(batch, self._root):
                self._take_each(part)
                self._inbox.acknowledge(part)
            self._do_due(behind=len(batch) >= _ENOUGH)
        except StoreError as error:
            self._storing.forget()
            problem = f"{error}: what has come waits at the broker"
            if problem != self.tally.database_problem:
                log.warning("%s", problem)
            self.tally.database_problem = problem
            self._inbox.drop()
            time.sleep(self._pause_s)
            self._pause_s = min(2.0 * self._pause_s, _LONGEST_PAUSE_S)
        else:
            if self.tally.database_problem:
                log.info("the database can be used again")
            self.tally.database_problem, self._pause_s = "", _PAUSE_S

    def _answers_again(self) -> bool:
        """Return whether the database that has failed answers; while it does not, wait for a moment.

        The broker is left alone meanwhile: each new connection would only bring again what cannot be stored.
        """
        try:
            with self._database.connect() as connection:
                is_there(connection)
        except StoreError:
            self._pace.looked(self._clock(), connected=False, came=False)
            time.sleep(_PAUSE_S)
            return False
        return True

    def _collect(self) -> list[Message]:
        batch: list[Message] = []
        end = self._clock() + _COLLECT_S
        while len(batch) < _BATCH:
            left = end - self._clock()
            if left <= 0:
                break
            came = self._inbox.read(_BATCH - len(batch), min(left, _PAUSED_S) if len(batch) >= _ENOUGH else left)
            if not came and len(batch) >= _ENOUGH:
                break
            batch += came
        return batch

    def _take_each(self, batch: Sequence[Message], *, again: bool = False) -> None:
        """Store a batch; where a value of it is refused, by halves, until the message that has it is kept aside.

        again: a single one is tried for the second time: what another worker stored at the same moment is there by now.
        """
        try:
            self._take(batch)
        except (ValueRefusedError, *_OF_VALUES) as error:
            self._storing.forget()
            if len(batch) > 1:
                self._take_each(batch[: len(batch) // 2])
                self._take_each(batch[len(batch) // 2 :])
            elif not again:
                self._take_each(batch, again=True)
            else:
                self._set_aside(batch[0], error)

    def _set_aside(self, message: Message, error: Exception) -> None:
        own = isinstance(error, ValueRefusedError)
        why = str(error) if own else f"this program cannot take it ({type(error).__name__}: {error})"
        log.debug("%s", why, exc_info=not own)
        with self._database.begin() as connection:
            self._refuse(connection, message, why, self._utc())

    def _take(self, batch: Sequence[Message]) -> None:
        arrived, intervals, others = self._utc(), list[Interval](), list[tuple[Message, list[str]]]()
        with self._database.begin() as connection:
            for message in batch:
                try:
                    levels = read_levels(message.topic, self._root)
                    if (interval := _interval(levels, message.payload, arrived)) is not None:
                        intervals.append(interval)
                    else:
                        others.append((message, levels))
                except UnreadableError as error:
                    self._refuse(connection, message, str(error), arrived)
            outcome = self._storing.store(connection, intervals, arrived)
            devices = {(i.name.site, i.name.device) for i in intervals}
            due = [one for one in devices if arrived - self._noted.get(one, 0.0) >= _HEARD_EVERY_S]
            fleet.note_heard(connection, sorted(due), int(arrived))
        if others:  # apart: who holds rows of devices while it waits for those of lines makes others wait for ever
            with self._database.begin() as connection:
                self._take_others(connection, others, arrived)
        now = self._clock()
        if intervals:
            self._pace.stored(now, arrived - max(interval.end for interval in intervals))
        self._noted.update(dict.fromkeys(due, arrived))
        for device in devices:
            self._heard(device, now)
        self.tally.counts.update(stored=outcome.stored, repeated=outcome.repeated, aside=outcome.aside)
        self.tally.counts["contradictions"] += len(outcome.contradictions)
        for contradiction in outcome.contradictions:
            log.warning("%s: %s", "/".join(contradiction.name), contradiction.what)
        self._on_stored([interval for interval in intervals if interval.name.line != FLOWS])

    def _take_others(self, connection: Connection, others: Sequence[tuple[Message, list[str]]], arrived: float) -> None:
        told, at = _Told(), int(arrived)
        for message, levels in others:
            try:
                self._note(connection, told, message, levels)
            except UnreadableError as error:
                self._refuse(connection, message, str(error), arrived)
        missing.note_newest(connection, {self._storing.series(connection, *of): n for of, n in told.newest.items()})
        missing.expect_again(connection, [name for name, one in told.status.items() if one.state == "online"])
        fleet.note_status(connection, told.status, at)
        fleet.note_health(connection, told.health, at)
        fleet.note_config(connection, told.configs)
        note_figures(connection, told.figures)
        self._figured.update((name, one.start) for name, one in told.figures.items())
        keys = self._storing.lines(connection, {one.name for one in told.reviews})
        store_reviews(connection, [(keys[one.name], one) for one in told.reviews], at)
        fleet.note_layers(connection, told.layers, at)
        note_compared(connection, told.compared)
        names = [LineName(*name, line.id) for name, meta in sorted(told.meta.items()) for line in meta.lines]
        fleet.note_meta(connection, told.meta, at, self._storing.lines(connection, names))

    def _refuse(self, connection: Connection, message: Message, why: str, arrived: float) -> None:
        self.tally.counts["poison"] += 1
        topic = clean(message.topic[:200]) or "a topic that is no text"
        log.warning("kept aside, no message of the contract: %s (%s)", topic, clean(why[:200]))
        keep_aside(connection, message.topic, message.payload, why, arrived)

    def _note(self, connection: Connection, told: _Told, message: Message, levels: Sequence[str]) -> None:
        site, device, kind, *below = levels
        name = site, device
        check_name(LineName(site, device, FLOWS))
        if not message.payload:  # takes back what was retained: what was seen stays true
            return
        if kind == "status" and not below:
            status = read_payload(Status, message.payload)
            check_text(status.version, "version")
            check_text(status.contract, "contract")
            told.status[name] = status
            self._heard(name, self._clock(), connected=status.state == "online")
        elif kind == "health" and not below:
            health = read_payload(Health, message.payload)
            told.note_newest(name, health.installation, health.newest_seq)
            told.health[name] = health
            if health.figures is not None and self._figured.get(name) != health.figures.start:
                told.figures[name] = health.figures
            self._heard(name, self._clock())
        elif kind == "meta" and below:
            content = read_payload(ConfigMeta, message.payload)
            check_text(content.config, "config")
            told.configs[site, device, content.config] = content
        elif kind == "meta":
            meta = read_payload(Meta, message.payload)
            for line in meta.lines:
                check_name(LineName(*name, line.id))
            told.meta[name] = meta
        elif kind == "reviews" and len(below) == 1:
            told.reviews.append(read_review(LineName(*name, below[0]), message.payload))
        elif kind == "shadow" and len(below) == 1:
            told.compared.append(read_shadow(LineName(*name, below[0]), message.payload))
        elif kind == "config" and below == ["desired"]:
            if document := read_document(message.payload):  # what is none is the devices' to refuse
                told.layers.setdefault(name, {})["desired"] = dict(document)
        elif kind == "config" and below == ["reported"]:
            report = read_payload(ConfigReported, message.payload)
            told.layers.setdefault(name, {})["reported"] = report.model_dump(mode="json", by_alias=True)
        elif kind == "replies" and len(below) == 1:
            self._note_reply(connection, told, name, below[0], read_payload(ReplyMessage, message.payload))

    def _note_reply(
        self, connection: Connection, told: _Told, device: DeviceName, command: str, reply: ReplyMessage
    ) -> None:
        if command == "ping":
            for installation, lines in read_result(PingResult, reply.result).installations.items():
                told.note_newest(device, installation, {line: about.newest_seq for line, about in lines.items()})
            return
        gap = self._asking.answered(device, reply.id) if self._asking and command == "resend" else None
        if gap is None:
            return
        never = [
            (max(gap.first, one.from_seq), min(gap.last, one.to_seq), one.reason[:40])
            for one in read_result(ResendResult, reply.result).missing
            if one.reason != _PENDING and max(gap.first, one.from_seq) <= min(gap.last, one.to_seq)
        ]
        missing.note_gone(connection, self._storing.series(connection, gap.name, gap.installation), never)
        self.tally.counts["gone"] += sum(last - first + 1 for first, last, _ in never)

    def _heard(self, device: DeviceName, now: float, *, connected: bool = False) -> None:
        if self._asking:
            self._asking.heard(device, now, connected=connected)

    def _do_due(self, *, behind: bool) -> None:
        now = self._clock()
        if now >= self._roll_at + (_ROLL_BEHIND_S if behind else 0.0):
            most = self._rolling.size
            with self._database.begin() as connection:
                begun = self._clock()
                rolled = roll_up(connection, most, archive=self._database.archive)
            self._rolling.took(rolled, self._clock() - begun)
            self._roll_at = now + _ROLL_EVERY_S if rolled < most else now - _ROLL_BEHIND_S  # the rest at once
        if self._asking and now >= self._ask_at:
            with self._database.connect() as connection:
                chosen = self._asking.choose(missing.find_gaps(connection), now)
            self._ask_at = now + max(_ASK_EVERY_S, _ASK_REST * (self._clock() - now))
            self._note_closed(self._asking)
            for gap in chosen:
                self._ask(self._asking, gap, now)
            for device in self._asking.silent(now):
                self._command(device, "ping", {})
        if now >= self._forget_at:
            with self._database.begin() as connection:
                forget_figures(connection, int(self._utc()))
                forget_reviews(connection, int(self._utc()), self._pictures_s)
                forget_aside(connection, _MOST_ASIDE)
                gone = missing.give_up(connection, int(self._utc())) if self._asking else 0
            if gone:
                days = missing.AWAY_S // 86_400
                log.info("%d intervals are given up: their devices were not heard for %d days", gone, days)
            self._forget_at = now + _FORGET_EVERY_S
        if self._asking and now >= self._recall_at:
            self._recall_at = now + _RECALL_EVERY_S
            self._recall()

    def _recall(self) -> None:
        """Have what devices told before this worker came: some brokers deliver it for their exact topics alone."""
        with self._database.connect() as connection:
            unknown = [one for one in fleet.without_meta(connection) if one not in self._recalled]
        for site, device in unknown[:_RECALL_AT_ONCE]:
            self._inbox.recall([f"{self._root}/{site}/{device}/{kind}" for kind in ("status", "meta")])
            self._recalled.add((site, device))

    def _ask(self, asking: Asking, gap: Gap, now: float) -> None:
        args = {
            "line": gap.name.line,
            "installation": gap.installation,
            "from_seq": gap.first,
            "to_seq": gap.last,
        }
        identifier = self._command((gap.name.site, gap.name.device), "resend", args)
        if identifier:
            self.tally.counts["asked"] += 1
            if whole := asking.asked(gap, identifier, now):
                log.info("%s: asked for what is missing, %s", "/".join(gap.name), _told(whole))

    def _note_closed(self, asking: Asking) -> None:
        if not (closed := asking.closed()):
            return
        now, lost = self._utc(), list[int]()
        with self._database.begin() as connection:
            for one in closed:
                key = self._storing.series(connection, one.gap.name, one.gap.installation)
                asked = now - (self._clock() - one.asked)
                lost.append(missing.note_closed(connection, key, one.gap, int(asked), int(now)))
        asking.noted_closed()
        for one, never in zip(closed, lost, strict=True):
            outcome = f"{never} of it will never come" if never else "all of it has come"
            log.info("%s: nothing is missing any more of %s: %s", "/".join(one.gap.name), _told(one.gap), outcome)

    def _command(self, device: DeviceName, command: str, args: Any) -> str:
        """Send a command; return its id, empty when there is no connection."""
        at = datetime.fromtimestamp(int(self._utc()), timezone.utc)
        identifier = f"city-{secrets.token_hex(8)}"
        body = CommandMessage(id=identifier, at=at, expires=at + timedelta(minutes=10), args=args)
        topic = f"{self._root}/{device[0]}/{device[1]}/commands/{command}"
        return identifier if self._inbox.send(Message(topic, encode(body).encode(), qos=1)) else ""


def _told(gap: Gap) -> str:
    many = gap.last - gap.first + 1
    return f"{many} interval{'s' * (many > 1)} with the numbers {gap.first} to {gap.last} of {gap.installation}"


def parts_of(batch: Sequence[Message], root: str) -> Iterator[Sequence[Message]]:
    """Yield a batch in parts, each with at most `FEW` messages that are no intervals. root: beginning of all topics."""
    first = others = 0
    for at, message in enumerate(batch):
        others += message.topic[len(root) + 1 :].split("/")[2:3] not in (["counts"], ["flows"])
        if others == FEW:
            yield batch[first : at + 1]
            first, others = at + 1, 0
    if first < len(batch):
        yield batch[first:]


def _interval(levels: Sequence[str], payload: bytes, arrived: float) -> Interval | None:
    """Return the interval in a message, None for a message of another kind. Raises UnreadableError."""
    match levels:
        case [site, device, "counts", line]:
            return read_counts(LineName(site, device, line), payload, arrived)
        case [site, device, "flows"]:
            return read_flows(LineName(site, device, FLOWS), payload, arrived)
    return None
