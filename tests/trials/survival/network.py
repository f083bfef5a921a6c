"""Half-open connections, resets, seconds of latency, lost segments: delivered all the same, and health says so."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from edge_app.mqtt.connection import Timing
from edge_app.mqtt.publisher import Publisher
from tests.support.brokers import SHORT, mosquitto, subscribed
from tests.support.publisher_cases import State
from tests.trials.survival.rough import RoughRoad
from tests.trials.survival.rows import Outcome, Row, Trial, failures

_SEED = 2026


@dataclass(slots=True)
class Watched:
    """The publisher's thread, from outside. slowest_s: its longest turn."""

    publisher: Publisher
    stop: threading.Event = field(default_factory=threading.Event)
    slowest_s: float = 0.0
    fault: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                since = time.monotonic()
                self.publisher.step(0.05)
                self.slowest_s = max(self.slowest_s, time.monotonic() - since)
        except BaseException as fault:
            self.fault = fault


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of each, and with which time limits: the product's own in the long form."""

    timing: Timing
    latency_s: float
    resets: int
    lossy_s: float
    intervals: int
    """In each part."""


LONG = Scale(Timing(), 5.0, 30, 120.0, 120)
SHORT_SCALE = Scale(SHORT, 0.3, 4, 2.0, 25)


def run(trial: Trial) -> Outcome:
    """In real time against mosquitto, through a road that is made rough."""
    scale = SHORT_SCALE if trial.short else LONG
    trial.folder.mkdir(exist_ok=True)
    with mosquitto(trial.folder, "allow_anonymous true", "max_queued_messages 10000") as broker:
        road = RoughRoad(broker.port, _SEED)
        with (
            closing(road),
            subscribed(broker.port, "traffic/v1/+/+/counts/#", name="city", keep=3600) as reader,
        ):
            return _tried(trial, scale, road, lambda: reader.read(0.05))


def _tried(trial: Trial, scale: Scale, road: RoughRoad, read: Callable[[], object]) -> Outcome:
    state = _state(trial.folder / "state")
    watched = Watched(state.publisher(road.port, timing=scale.timing, rate=500.0))
    thread = threading.Thread(target=watched.run, daemon=True)
    thread.start()
    payloads: list[bytes] = []

    def read_for(seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            if message := read():
                payloads.append(message.payload)  # type: ignore[attr-defined]
        return until()

    def arrived() -> bool:
        return len(set(payloads)) >= state.closed

    chance, told = random.Random(_SEED), dict[str, bool]()
    read_for(20.0, lambda: watched.publisher.connected)
    trial.report("a half-open connection")
    road.silent = True
    state.close_intervals(scale.intervals)
    told["half-open"] = read_for(3 * scale.timing.ack + 10, lambda: watched.publisher.problem != "")
    road.silent = False
    road.reset()
    read_for(120.0, arrived)
    trial.report("resets")
    for _ in range(scale.resets):
        state.close_intervals(max(1, scale.intervals // scale.resets))
        read_for(chance.uniform(0.0, 0.6))
        road.reset()
    read_for(120.0, arrived)
    trial.report(f"{scale.latency_s:g} s of latency")
    road.latency_s = scale.latency_s
    state.close_intervals(scale.intervals)
    read_for(60 * scale.latency_s + 10, arrived)
    trial.report("30 % loss")
    road.latency_s, road.loss = 0.05, 0.3
    end = time.monotonic() + scale.lossy_s
    while time.monotonic() < end:
        state.close_intervals(1)
        read_for(scale.lossy_s / scale.intervals)
    complete = read_for(180.0, arrived)
    emptied = read_for(60.0, lambda: watched.publisher.unsent == 0)
    watched.stop.set()
    thread.join(30)
    result = _evaluate(state, payloads, watched, road, told["half-open"], complete and emptied)
    state.session.close()
    state.outbox.close()
    state.journal.close()
    return result


def _state(folder: Path) -> State:
    folder.mkdir()
    return State(folder)


def _evaluate(
    state: State, payloads: list[bytes], watched: Watched, road: RoughRoad, told: bool, done: bool
) -> Outcome:
    unique = [json.loads(payload) for payload in dict.fromkeys(payloads)]
    numbers = sorted(interval["seq"] for interval in unique)
    limit = 15.0  # connecting may take 10 s
    broken = failures(
        (numbers == list(range(1, state.closed + 1)), f"{len(set(numbers))} of {state.closed} intervals arrived"),
        (done, "not all was acknowledged at last"),
        (watched.fault is None, f"the thread died: {watched.fault}"),
        (watched.slowest_s < limit, f"the thread was stuck for {watched.slowest_s:.0f} s"),
        (told, "health did not show the half-open connection"),
    )
    again = len(payloads) - len(unique)
    return Outcome(
        f"{len(unique)} of {state.closed} intervals once in content ({again} repeated), {road.accepted} connections, "
        f"{road.resets} resets, longest turn of the thread {watched.slowest_s:.1f} s",
        broken,
    )


ROW = Row(
    "network",
    "half-open TCP, resets, 5 s latency, 30 % loss",
    "no interval lost, no thread stuck, health shows it",
    run,
)
