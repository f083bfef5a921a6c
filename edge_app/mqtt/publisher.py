"""Deliver closed intervals from the outbox to the broker, with presence and health beside them.

Intervals go first; what waits in memory follows where they leave room.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from edge_app.errors import StoreError
from edge_app.mqtt.command_desk import CommandDesk, SignedWork
from edge_app.mqtt.commands import NAMES
from edge_app.mqtt.config_desk import ConfigDesk, Office
from edge_app.mqtt.config_texts import ConfigTexts
from edge_app.mqtt.delivery import USUAL_PACE, IntervalDelivery, Pace
from edge_app.mqtt.device_messages import Health, Meta, lines_of
from edge_app.mqtt.encoding import encode
from edge_app.mqtt.events import Acked, Connected, Event, Lost, Message, SubscriptionRefused
from edge_app.mqtt.health_size import fitting
from edge_app.mqtt.held_back import HeldBack
from edge_app.mqtt.identity import Device, interval_topic
from edge_app.mqtt.in_flight import InFlight, Sent
from edge_app.mqtt.in_memory import InMemory
from edge_app.mqtt.incoming import NAME as PIECE_NAME
from edge_app.mqtt.presence import BirthMessage, status
from edge_app.mqtt.resend import Resend
from edge_app.mqtt.session import Session
from edge_app.storage.outbox import Outbox
from edge_app.system.threads import PAUSE_S, Faults

log = logging.getLogger(__name__)

_IDLE_S: Final = 0.25
_IDLE_WITH_CROSSINGS_S: Final = 0.05
"""Longest time until a stop, a newly closed interval or a crossing is noticed: signs react to crossings."""
_MOST_CROSSINGS: Final = 100
"""Crossings that wait for the network; beyond it the oldest are dropped: whoever counts uses the intervals."""
_MOST_COMPARISONS: Final = 100
_MOST_REVIEWS: Final = 40
"""Messages that wait in memory; beyond it the oldest are dropped: the numbers of comparisons have a hole then."""
_CROSSING_S: Final = 10
"""Time, s, for which a broker may keep a crossing."""
_HEALTH_S: Final = 60.0
"""Longest time from one health message to the next."""
_RESEND_RATE: Final = 10.0
"""Intervals of the archive that are offered again in a second."""
_RESERVE: Final = 5
"""Messages in flight that pieces and `resend` leave to new intervals."""


class Publisher:
    """Publisher of closed intervals, presence and health.

    It belongs to one thread; any thread may read its properties and attributes.

    meta, health: the meta message, and a function that builds the health message.
    installation: returns the id under which intervals are numbered now.
    interval_s: seconds from one health message to the next, at most a minute; an unsent one is not stored.
    birth_messages: called at every connect.
    pace: how fast intervals are sent.
    refused_retry_s: seconds until a line whose topic was refused is tried again; the other lines go on.
    store_retry_s: seconds until a store that cannot be used is tried again.
    latest: the newest interval of a line is published retained too; else what was retained is taken back.
    crossings: `tell` is going to be called.
    office: takes configurations from the office; None where the device has no key of one.
    follows: this program has said `online` before, so a stop must be said whatever happens until then.
    signed_work: what is done where the office has signed it; None where nothing signed is taken.
    utc, clock: UTC seconds and monotonic seconds.

    Attributes: `unsent` counts the intervals in the outbox, `lost` those dropped from it; `oldest_end` is the end of
    the oldest unsent one, UTC s; `store_problem` is one sentence, empty while the store works. `stays` is set before
    the stop of a program that begins anew: `stopped` is not said then.
    """

    def __init__(
        self,
        session: Session,
        outbox: Outbox,
        device: Device,
        meta: Meta,
        health: Callable[[], Health],
        *,
        interval_s: float,
        installation: Callable[[], str] = lambda: "",
        birth_messages: Callable[[], Sequence[BirthMessage]] = lambda: (),
        pace: Pace = USUAL_PACE,
        refused_retry_s: float = 60.0,
        store_retry_s: float = 5.0,
        latest: bool = True,
        crossings: bool = False,
        office: Office | None = None,
        follows: bool = False,
        signed_work: SignedWork | None = None,
        utc: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session, self._outbox, self._device, self._meta, self._health = session, outbox, device, meta, health
        self._birth_messages = birth_messages
        self._installation, self._announced = installation, ""
        self._health_s = min(interval_s, _HEALTH_S)
        self._window = pace.window
        self._store_retry_s = store_retry_s
        self._utc, self._clock = utc, clock
        self._held_back = HeldBack(refused_retry_s, clock)
        self._in_flight = InFlight(self._held_back)
        self._configs = ConfigTexts(outbox.memory, device, meta)
        self._delivery = IntervalDelivery(
            outbox,
            device,
            lines_of(meta) if latest else frozenset(),
            self._publish,
            held_back=self._held_back,
            in_flight=self._in_flight,
            configs=self._configs,
            installation=installation,
            pace=pace,
            utc=utc,
            clock=clock,
        )
        self._crossings: deque[tuple[str, str]] = deque(maxlen=_MOST_CROSSINGS)
        self._comparisons, self._reviews = InMemory(_MOST_COMPARISONS), InMemory(_MOST_REVIEWS)
        report = (lambda: signed_work.releases.report) if signed_work else (lambda: None)
        self._office = ConfigDesk(office, device, installation, utc, report) if office else None
        self._renewed: deque[tuple[Meta, Callable[[], Sequence[BirthMessage]]]] = deque()
        self._desk = CommandDesk(device, outbox, meta, installation, utc, signed_work)
        self._resend_due = clock()
        self._draining = False
        self._subscription = ""
        self._health_due = self._store_due = clock()
        self._wait, self._idle_s = 0.0, _IDLE_WITH_CROSSINGS_S if crossings else _IDLE_S
        self._owes_stopped = follows
        self.store_problem, self.stays = "", False
        self.unsent = self.lost = 0
        self.oldest_end: float | None = None

    @property
    def problem(self) -> str:
        """One sentence on why intervals are not delivered, empty when all is well."""
        return self._session.problem or self._held_back.problem or self.store_problem

    @property
    def limits(self) -> tuple[str, ...]:
        """Return one sentence for each kind of message that cannot be delivered, with the reason."""
        office = self._office.limits if self._office else ()
        others = (self._subscription, self._desk.limit, *office, *self._configs.limits, *self._session.limits)
        return (*self._held_back.limits, *(sentence for sentence in others if sentence))

    @property
    def connected(self) -> bool:
        return self._session.connected

    @property
    def connections(self) -> int:
        """Number of accepted connections since the start."""
        return self._session.connections

    @property
    def delivered(self) -> int:
        """Number of intervals that the broker has acknowledged since the start."""
        return self._delivery.delivered

    @property
    def refused_commands(self) -> int:
        """Number of signed commands that were refused since the start."""
        return self._desk.signed.refusals

    def tell(self, topic: str, payload: str) -> None:
        """Publish a crossing soon, unless the broker is away. Any thread may call it."""
        self._crossings.append((topic, payload))

    def compare(self, topic: str, payload: str) -> None:
        """Publish a comparison when all else has gone out. Any thread may call it."""
        self._comparisons.add(topic, payload)

    def review(self, topic: str, payload: str) -> None:
        """Publish a picture for a review when all else has gone out. Any thread may call it."""
        self._reviews.add(topic, payload)

    @property
    def reviews_dropped(self) -> int:
        """Number of pictures for a review that the broker has not had, since the start."""
        return self._reviews.dropped

    def renew(self, meta: Meta, birth_messages: Callable[[], Sequence[BirthMessage]]) -> None:
        """Announce the device by other texts soon, or by another `config`. Any thread may call it.

        Call it before an interval of that `config` closes: so its text goes out first.
        """
        self._renewed.append((meta, birth_messages))

    def run(self, stop: threading.Event, drain_s: float = 5.0) -> None:
        """Publish until `stop` is set, then `drain`; the body of the publisher's thread."""
        faults = Faults("delivery")
        while not stop.is_set():
            try:
                self.step(self._idle_s)
                faults.clear()
            except (OSError, MemoryError) as fault:  # events may be lost: the broker's answers are asked for again
                faults.note(fault)
                self._begin_again()
                stop.wait(PAUSE_S)
        try:
            self.drain(drain_s)
        except (OSError, MemoryError) as fault:
            faults.note(fault)

    def _begin_again(self) -> None:
        self._session.close()
        self._forget_in_flight()

    def step(self, timeout: float) -> None:
        """Do what is due now, waiting for at most about `timeout` seconds."""
        for event in self._session.poll(min(timeout, self._wait)):
            self._handle(event)
        self._wait = timeout
        self._tell_crossings()
        self._use_renewed()
        if self._session.connected and self._session.released():
            self._configs.lost()
            self._announce()
        if self._office is not None and self._session.connected:
            self._office.publish(self._publish)
        self._process_outbox()
        if self._session.connected and len(self._in_flight) < self._window - _RESERVE:
            self._comparisons.publish_due(self._publish)
            self._reviews.publish_due(self._publish)
        if self._session.connected and self._clock() >= self._health_due:
            self._publish_health()

    def drain(self, deadline_s: float) -> None:
        """Deliver what is left, publish the status `stopped` and disconnect, within `deadline_s` seconds.

        Without a connection it ends at once, unless the status of the broker is still that of the start before.
        """
        self._draining = True
        end = self._clock() + deadline_s
        reserve = min(1.0, deadline_s / 2)
        while self._owes_stopped and not self._session.connected and self._clock() < end - reserve:
            self.step(0.05)
        while self._session.connected and self._busy() and self._clock() < end - reserve:
            self.step(0.05)
        if self._session.connected and not self.stays:
            token = self._publish(status(self._device, "stopped", self._utc(), self._installation()))
            while self._in_flight.has(token) and self._clock() < end:
                for event in self._session.poll(0.05):
                    self._handle(event)
        self._session.close()
        self._process_outbox()

    def _busy(self) -> bool:
        try:
            return bool(self._in_flight) or self._delivery.pending
        except StoreError:
            return False

    def _handle(self, event: Event) -> None:
        if isinstance(event, Connected) and self._session.connected:
            self._announce()
        elif isinstance(event, Lost):
            self._forget_in_flight()
        elif isinstance(event, Message):
            if self._office is None or not self._office.receive(event):
                self._desk.receive(event)
            self._wait = 0.0
        elif isinstance(event, SubscriptionRefused):
            if self._office is not None and self._office.refuse(event.topic, event.reason):
                return
            self._subscription = (
                f"broker refuses the subscription to {event.topic} ({event.reason}): no commands arrive"
            )
        elif isinstance(event, Acked):
            self._in_flight.settle(event.token, event.refused)

    def _forget_in_flight(self) -> None:
        self._in_flight.forget()
        self._configs.lost()
        self._comparisons.lost()
        self._reviews.lost()
        self._desk.lost()

    def _announce(self) -> None:
        """Begin a new connection: publish status, meta and birth messages, and start again with the oldest interval."""
        self._delivery.begin()
        self._health_due = self._clock()
        self._subscription = ""
        commands = ["#"] if self._session.broker.wildcards else [*NAMES, PIECE_NAME]
        self._session.subscribe([f"{self._device.prefix}/commands/{name}" for name in commands], fresh=True)
        if self._office is not None:
            self._session.subscribe([self._office.topic])
            self._office.begin()
        self._introduce()
        self._publish_births()

    def _use_renewed(self) -> None:
        while self._renewed:
            self._meta, self._birth_messages = self._renewed.popleft()
            self._configs.renew(self._meta)
            self._desk.renew(self._meta)
            if self._session.connected:
                self._publish_meta()
                self._publish_births()

    def _publish_births(self) -> None:
        for birth in self._birth_messages():
            self._publish(birth.message, on_answer=birth.answered)

    def _introduce(self) -> None:
        """Publish status and meta, at a connect and under a new installation."""
        self._announced, self._owes_stopped = self._installation(), False
        self._publish(status(self._device, "online", self._utc(), self._announced))
        self._publish_meta()

    def _publish_meta(self) -> None:
        meta = encode(self._meta.model_copy(update={"installation": self._announced}))
        self._publish(Message(f"{self._device.prefix}/meta", meta.encode(), qos=1, retained=True))

    def _publish(
        self,
        message: Message,
        key: int | None = None,
        *,
        required: bool = False,
        on_answer: Callable[[str], object] | None = None,
    ) -> int:
        token = self._session.publish(message)
        self._in_flight.add(token, Sent(message.topic, key, required, on_answer))
        return token

    def _publish_health(self) -> None:
        self._health_due = self._clock() + self._health_s
        limits = self._session.broker
        self._publish(
            self._health_message(
                fitting(self._health(), lambda health: not limits.refusal(self._health_message(health).packet_size))
            )
        )

    def _tell_crossings(self) -> None:
        while self._crossings:
            topic, payload = self._crossings.popleft()
            if self._session.connected:
                self._publish(Message(topic, payload.encode(), expires_s=_CROSSING_S))

    def _health_message(self, health: Health) -> Message:
        # Health is of no use to a subscriber that was away for longer than this; the broker need not keep it.
        expires_s = math.ceil(10 * self._health_s)
        return Message(f"{self._device.prefix}/health", encode(health).encode(), expires_s=expires_s)

    def _process_outbox(self) -> None:
        if self._clock() < self._store_due:
            return
        try:
            self._delivery.delete_acknowledged()
            if self._session.connected:
                if self._announced != self._installation():
                    self._introduce()
                self._configs.publish_current(self._publish)
                self._delivery.release()
                wait = self._delivery.send_due()
                self._wait = self._wait if wait is None else wait
                self._configs.tidy(self._publish)
                self._delivery.take_back()
                self._serve_commands()
            self.unsent, self.lost = len(self._outbox), self._outbox.dropped
            self.oldest_end = self._outbox.oldest_end() if self.unsent else None
            self.store_problem = ""
        except StoreError as error:
            self._store_due = self._clock() + self._store_retry_s
            if str(error) != self.store_problem:
                self.store_problem = str(error)
                log.warning("%s", error)

    def _serve_commands(self) -> None:
        """Publish replies, and go on with pieces and a `resend` where new intervals leave room."""
        for message, on_answer in self._desk.replies():
            self._publish(message, on_answer=on_answer)
        room = 0 if self._draining else max(0, self._window - _RESERVE - len(self._in_flight))
        for message, on_answer in self._desk.pieces(room, self._session.broker.max_packet):
            self._publish(message, on_answer=on_answer)
        job = self._desk.job
        if job is None or len(self._in_flight) >= self._window - _RESERVE:
            return
        if self._clock() < self._resend_due:
            self._wait = min(self._wait, self._resend_due - self._clock())
            return
        seq = job.next()
        if seq is not None:
            self._offer_again(job, seq)
        self._desk.conclude()

    def _offer_again(self, job: Resend, seq: int) -> None:
        kept = None
        if self._desk.may_resend():
            kept = self._outbox.archived(job.args.installation, job.args.line, seq)
        if kept is None:
            job.is_missing()
            self._wait = 0.0
        elif self._configs.ready(self._device.prefix, kept.config, self._publish, again=job):
            message = Message(interval_topic(self._device.prefix, job.args.line), kept.payload, qos=1)
            token = self._publish(message)
            job.offered(token)
            self._in_flight.add(token, Sent(message.topic, on_answer=lambda no: job.answered(token, no)))
            self._resend_due = self._clock() + 1 / _RESEND_RATE
            self._wait = min(self._wait, 1 / _RESEND_RATE)
