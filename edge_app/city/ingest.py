"""Take messages of devices from a broker, store them, acknowledge what is stored, and ask for what is missing.

A worker has one thread. It collects messages for a moment, stores them in one transaction and acknowledges them after
its commit: a message of a batch that fails is never acknowledged, and comes again over the next connection.
"""

from __future__ import annotations

import gc
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_app.city.asking import Asking, DeviceName
from edge_app.city.chores import Chores
from edge_app.city.database import fleet
from edge_app.city.database.engine import Connection, Database, ValueRefusedError
from edge_app.city.database.live_batches import note_batch
from edge_app.city.database.reading import is_there
from edge_app.city.database.storing import Storing, keep_aside
from edge_app.city.device_news import DeviceNews
from edge_app.city.inbox import Inbox
from edge_app.city.live import told
from edge_app.city.pace import Pace, State
from edge_app.city.reading import (
    UnreadableError,
    read_counts,
    read_flows,
    read_levels,
)
from edge_app.city.records import Interval, LineName
from edge_app.errors import StoreError
from edge_app.mqtt.events import Message
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
_HEARD_EVERY_S: Final = 15
"""How exact the time is at which a device was heard last."""
_PAUSE_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 8.0
"""Wait after the database could not be used, longer where it answers and stores nothing, as with a full disk."""
_RARELY: Final = (50_000, 20, 50)
"""When Python looks for circles of objects: a batch is many that live until its commit, and none is a circle."""
_OF_VALUES: Final = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""Faults that a value of a message may provoke here. One that is retained comes again at every start: it must not end
the ingest of all others. What this machine lacks, such as memory, ends the worker as before."""


@dataclass(slots=True)
class Tally:
    """What a worker has done since its start."""

    counts: Counter[str] = field(default_factory=Counter)
    database_problem: str = ""


class Worker:
    """Ingest of one worker.

    root: beginning of all topics. on_stored: gets the new intervals of each batch. shares: pages of other processes
    are told of them too. pictures_s: time, s, for which pictures for reviews are kept. utc, clock: UTC seconds and
    monotonic seconds.
    """

    def __init__(
        self,
        inbox: Inbox,
        database: Database,
        root: str,
        *,
        asking: Asking | None = None,
        on_stored: Callable[[Sequence[Interval]], None] = lambda _: None,
        shares: bool = False,
        pictures_s: int = 30 * 86_400,
        utc: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally()
        self._inbox, self._database, self._root = inbox, database, root
        self._on_stored, self._shares, self._utc, self._clock = on_stored, shares, utc, clock
        self._storing, counts = Storing(database.archive), self.tally.counts
        self._news = DeviceNews(self._storing, asking, counts, refuse=self._refuse, clock=clock)
        self._chores = Chores(
            inbox,
            database,
            root,
            storing=self._storing,
            asking=asking,
            counts=counts,
            pictures_s=pictures_s,
            utc=utc,
            clock=clock,
        )
        self._pace, self._pause_s = Pace(), _PAUSE_S
        self._fault: Exception | None = None
        self._noted: dict[DeviceName, float] = {}

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
            self._chores.do_due(behind=len(batch) >= _ENOUGH)
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
            new = [one for one in outcome.new if one.name.line != FLOWS and not one.aside]
            if self._shares and new:
                note_batch(connection, json.dumps(list(map(told, new))), int(arrived))
        self._on_stored(new)  # at once: what fails from here on comes again, and is not new then
        if others:  # apart: who holds rows of devices while it waits for those of lines makes others wait for ever
            with self._database.begin() as connection:
                self._news.take(connection, others, arrived)
        now = self._clock()
        if intervals:
            self._pace.stored(now, arrived - max(interval.end for interval in intervals))
        self._noted.update(dict.fromkeys(due, arrived))
        for device in devices:
            self._news.heard(device, now)
        self.tally.counts.update(stored=outcome.stored, repeated=outcome.repeated, aside=outcome.aside)
        self.tally.counts["contradictions"] += len(outcome.contradictions)
        for contradiction in outcome.contradictions:
            log.warning("%s: %s", "/".join(contradiction.name), contradiction.what)

    def _refuse(self, connection: Connection, message: Message, why: str, arrived: float) -> None:
        self.tally.counts["poison"] += 1
        topic = clean(message.topic[:200]) or "a topic that is no text"
        log.warning("kept aside, no message of the contract: %s (%s)", topic, clean(why[:200]))
        keep_aside(connection, message.topic, message.payload, why, arrived)


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
