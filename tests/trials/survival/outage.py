"""Count for a day without a broker, then deliver everything when it is back."""

from __future__ import annotations

import json
import time
from contextlib import closing

from edge_app.mqtt.delivery import Pace
from edge_app.mqtt.encoding import encode_counts
from edge_app.mqtt.publisher import Publisher
from edge_app.storage.counts import Counting
from edge_app.storage.ledger import Ledger
from edge_app.storage.outbox import Outbox
from tests.support.brokers import mosquitto, subscribed
from tests.support.ledger_cases import CLASSES, NOON, count
from tests.support.publisher_cases import DEVICE, META, health, session_to
from tests.trials.survival.rows import Outcome, Row, Trial, failures

MINUTE_S = 60.0
RATE = 50.0
_WINDOW = 20
_GIVE_UP_S = 120.0


def run(trial: Trial) -> Outcome:
    """Count a day by a simulated clock, then deliver in real time."""
    minutes = 120 if trial.short else 24 * 60
    state = trial.folder / "state"
    ledger = Ledger(
        state,
        ["north"],
        Counting(CLASSES, MINUTE_S),
        "boot",
        lambda closed: encode_counts(DEVICE, closed),
        capacity=20_000,
    )
    for minute in range(minutes):
        for second in (0.0, 20.0, 40.0):
            count(ledger, NOON + minute * MINUTE_S + second, n=1 + minute % 3)
    back = NOON + minutes * MINUTE_S
    ledger.tick(back + 15.0)
    trial.report(f"{minutes} intervals counted, the broker comes back")
    with (
        mosquitto(trial.folder, "allow_anonymous true", f"max_queued_messages {2 * minutes}") as broker,
        subscribed(broker.port, f"{DEVICE.prefix}/counts/#", name="city", keep=3600) as reader,
        closing(Outbox(state)) as outbox,
    ):
        session = session_to(broker.port, utc=lambda: back + 15.0)
        publisher = Publisher(
            session, outbox, DEVICE, META, health, interval_s=MINUTE_S, pace=Pace(rate=RATE), utc=lambda: back + 15.0
        )
        payloads, began, first = list[bytes](), time.monotonic(), 0.0
        while len(payloads) < minutes and time.monotonic() - began < _GIVE_UP_S:
            publisher.step(0.01)
            while message := reader.read(0.0):
                payloads.append(message.payload)
                first = first or time.monotonic()
        took = max(time.monotonic() - first, 1e-3)
        publisher.drain(2.0)
        left = len(outbox)
    ledger.close(back + 16.0)
    return _evaluate(minutes, payloads, took, left)


def _evaluate(minutes: int, payloads: list[bytes], took: float, left: int) -> Outcome:
    intervals = [json.loads(payload) for payload in payloads]
    counted = sum(3 * (1 + minute % 3) for minute in range(minutes))
    delivered = sum(interval["counts"]["car"]["left_to_right"] for interval in intervals)
    late = sum(interval["late"] for interval in intervals)
    rate = max(0, len(intervals) - _WINDOW) / took
    broken = failures(
        ([interval["seq"] for interval in intervals] == list(range(1, minutes + 1)), "not in order, or not each once"),
        (len({interval["id"] for interval in intervals}) == len(intervals), "one id twice"),
        (delivered == counted, f"{delivered} of {counted} vehicles delivered"),
        (late == minutes - 1, f"{late} of {minutes - 1} marked late"),
        (rate <= RATE * 1.05, f"{rate:.0f} intervals/s, more than {RATE:.0f}"),
        (left == 0, f"{left} left"),
    )
    return Outcome(
        f"{len(intervals)} intervals with {delivered} of {counted} vehicles in order, {late} late, {rate:.0f} a second",
        broken,
    )


ROW = Row(
    "outage",
    "broker away for 24 h of intervals (clock simulated), then back",
    "all delivered in order, each once, late set, at a bounded rate with jitter",
    run,
)
