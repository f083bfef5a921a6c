"""Deliver over half-open connections, resets, seconds of latency and lost segments; health must report them."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from edge_app.mqtt.delivery import Pace
from edge_app.mqtt.events import Timing
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import Subscriber
from tests.support.brokers import SHORT, mosquitto, subscribed
from tests.support.publisher_cases import State
from tests.trials.survival.rough import RoughNetwork
from tests.trials.survival.rows import Outcome, Row, Trial, failures

_SEED = 2026
_MAX_STEP_S = 15.0
"""Longest step of the publisher's thread; connecting may take 10 s."""


@dataclass(slots=True)
class PublisherThread:
    """Thread of the publisher with measurements. slowest_s: its longest step. fault: exception that ended it."""

    publisher: Publisher
    stop: threading.Event = field(default_factory=threading.Event)
    slowest_s: float = 0.0
    fault: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                began = time.monotonic()
                self.publisher.step(0.05)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        except BaseException as fault:
            self.fault = fault


@dataclass(frozen=True, slots=True)
class Scale:
    """Size of the trial and the publisher's time limits: the product's own in the long form.

    intervals: number of intervals in each phase.
    """

    timing: Timing
    latency_s: float
    resets: int
    lossy_s: float
    intervals: int


LONG = Scale(Timing(), 5.0, 30, 120.0, 120)
SHORT_SCALE = Scale(SHORT, 0.3, 4, 2.0, 25)


def run(trial: Trial) -> Outcome:
    """Deliver in real time to mosquitto, through a rough network."""
    trial.folder.mkdir(exist_ok=True)
    with mosquitto(trial.folder, "allow_anonymous true", "max_queued_messages 10000") as broker:
        network = RoughNetwork(broker.port, _SEED)
        with (
            closing(network),
            subscribed(broker.port, "traffic/v1/+/+/counts/#", name="city", keep=3600) as reader,
            closing(_Delivery(trial, network, reader)) as delivery,
        ):
            return delivery.run()


class _Delivery:
    """Publisher and subscriber on both sides of the network, and its faults one after the other."""

    def __init__(self, trial: Trial, network: RoughNetwork, reader: Subscriber) -> None:
        self._report, self._network, self._reader = trial.report, network, reader
        self._scale = SHORT_SCALE if trial.short else LONG
        self._state = _new_state(trial.folder / "state")
        publisher = self._state.publisher(network.port, timing=self._scale.timing, pace=Pace(rate=500.0))
        self._publishing = PublisherThread(publisher)
        self._thread = threading.Thread(target=self._publishing.run, daemon=True)
        self._payloads: list[bytes] = []
        self._reported = False

    def run(self) -> Outcome:
        self._thread.start()
        self._read_until(lambda: self._publishing.publisher.connected, 20.0)
        self._half_open()
        self._resets()
        self._latency()
        self._loss()
        complete = self._read_until(self._all_arrived, 180.0)
        emptied = self._read_until(lambda: self._publishing.publisher.unsent == 0, 60.0)
        self._publishing.stop.set()
        self._thread.join(30)
        return self._evaluate(complete and emptied)

    def close(self) -> None:
        self._publishing.stop.set()
        self._thread.join(30)
        self._state.session.close()
        self._state.outbox.close()
        self._state.journal.close()

    def _half_open(self) -> None:
        self._report("a half-open connection")
        self._network.silent = True
        self._state.close_intervals(self._scale.intervals)
        within = 3 * self._scale.timing.ack + 10
        self._reported = self._read_until(lambda: self._publishing.publisher.problem != "", within)
        self._network.silent = False
        self._network.reset()
        self._read_until(self._all_arrived, 120.0)

    def _resets(self) -> None:
        self._report("resets")
        chance = random.Random(_SEED)
        for _ in range(self._scale.resets):
            self._state.close_intervals(max(1, self._scale.intervals // self._scale.resets))
            self._read_for(chance.uniform(0.0, 0.6))
            self._network.reset()
        self._read_until(self._all_arrived, 120.0)

    def _latency(self) -> None:
        self._report(f"{self._scale.latency_s:g} s of latency")
        self._network.latency_s = self._scale.latency_s
        self._state.close_intervals(self._scale.intervals)
        self._read_until(self._all_arrived, 60 * self._scale.latency_s + 10)

    def _loss(self) -> None:
        self._report("30 % loss")
        self._network.latency_s, self._network.loss = 0.05, 0.3
        end = time.monotonic() + self._scale.lossy_s
        while time.monotonic() < end:
            self._state.close_intervals(1)
            self._read_for(self._scale.lossy_s / self._scale.intervals)

    def _read_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Read messages until the condition is true, for at most this time; return True when it is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not condition():
            if message := self._reader.read(0.05):
                self._payloads.append(message.payload)
        return condition()

    def _read_for(self, seconds: float) -> None:
        self._read_until(lambda: False, seconds)

    def _all_arrived(self) -> bool:
        return len(set(self._payloads)) >= self._state.closed

    def _evaluate(self, done: bool) -> Outcome:
        intervals = [json.loads(payload) for payload in dict.fromkeys(self._payloads)]
        numbers = sorted(interval["seq"] for interval in intervals)
        thread, closed = self._publishing, self._state.closed
        broken = failures(
            (numbers == list(range(1, closed + 1)), f"{len(set(numbers))} of {closed} intervals arrived"),
            (done, "not everything was acknowledged in the end"),
            (thread.fault is None, f"the thread failed: {thread.fault}"),
            (thread.slowest_s < _MAX_STEP_S, f"the thread was stuck for {thread.slowest_s:.0f} s"),
            (self._reported, "health did not report the half-open connection"),
        )
        repeated = len(self._payloads) - len(intervals)
        return Outcome(
            f"{len(intervals)} of {closed} intervals in one content ({repeated} repeated), {self._network.accepted} "
            f"connections, {self._network.resets} resets, longest step of the thread {thread.slowest_s:.1f} s",
            broken,
        )


def _new_state(folder: Path) -> State:
    folder.mkdir()
    return State(folder)


ROW = Row(
    "network",
    "half-open TCP, resets, 5 s latency, 30 % loss",
    "no interval lost, no thread stuck, health reports it",
    run,
)
