"""Shared by the tests of the publisher: a device, a clock, a state folder with a real outbox, and single steps."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_app.mqtt.device_messages import Health, LineMeta, Meta, SourceHealth
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.encoding import encode_counts
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Timing
from edge_app.mqtt.identity import Device
from edge_app.mqtt.presence import will
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import ProtocolChoice, Session
from edge_app.records import FLOWS, IntervalCounts
from edge_app.storage.journal import Journal
from edge_app.storage.outbox import ClosedInterval, Outbox
from edge_app.storage.saved_state import EncodedInterval, Identity, LineState, SavedState
from tests.support.brokers import QUICK, SHORT, eventually

DEVICE = Device("delft", "cam-1", "boot", "0.1.0", "ab" * 32, "cd" * 32)
META = Meta(
    site="delft",
    device="cam-1",
    lines=[LineMeta(id=line, start=(0, 0.5), end=(1, 0.5)) for line in "ab"],
    classes=["car"],
    interval_s=60,
    model="ab",
    config="cd",
    version="0.1.0",
)
START = 1_800_000_000.0
INSTALLATION = "0123abcd"
IDENTITY = Identity(INSTALLATION, "delft", "cam-1")


@dataclass
class Clock:
    """Clock that a test sets; with `running` it also advances by itself."""

    now: float
    running: bool = False

    def __call__(self) -> float:
        return self.now + (time.monotonic() if self.running else 0.0)


class State:
    """State folder with a real journal that closes intervals and the outbox that holds them."""

    publishers: type[Publisher] = Publisher
    sessions: type[Session] = Session

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begin = START
        self.journal = self._open_journal()
        self.outbox = self._open_outbox()
        self._seq: dict[str, int] = defaultdict(int)

    def _open_journal(self) -> Journal:
        return Journal(self.folder, SavedState(IDENTITY), 10_000)

    def _open_outbox(self) -> Outbox:
        return Outbox(self.folder)

    def reopen(self) -> None:
        """Open the outbox as a publisher that is started again does."""
        self.outbox.close()
        self.outbox = self._open_outbox()

    def close_intervals(self, count: int, line: str = "a", config: str = "cd") -> None:
        """Close `count` further intervals of 60 s on a line; the cars counted to the right equal their number."""
        for _ in range(count):
            self._seq[line] = seq = self._seq[line] + 1
            start = self.begin + 60 * (seq - 1)
            both: Any = {"car": {"left_to_right": seq, "right_to_left": 0}}
            told = {"flows": {"a": {"b": {"car": seq}}}, "entered": {}, "entered_only": {}, "left_only": {}}
            measures: dict[str, Any] = told if line == FLOWS else {}
            interval = IntervalCounts(
                line,
                start,
                60.0,
                both,
                60.0,
                900,
                0,
                config=config,
                measures=measures,
            )
            totals = {"car": {"left_to_right": seq * (seq + 1) // 2, "right_to_left": 0}}
            payload = encode_counts(DEVICE, ClosedInterval(interval, seq, totals, "boot", INSTALLATION))  # type: ignore[arg-type]
            state = LineState(line, seq, totals, start, interval.end)  # type: ignore[arg-type]
            self.journal.save([], [], [EncodedInterval(state, payload, INSTALLATION, config)], synced=False)

    @property
    def closed(self) -> int:
        """Number of intervals that were closed, on all lines together."""
        return sum(self._seq.values())

    def publisher(self, port: int, *, timing: Timing = SHORT, to: Endpoint | None = None, **options: Any) -> Publisher:
        utc: Callable[[], float] = options.setdefault("utc", lambda: START + 1e6)
        how = {key: options.pop(key) for key in ("protocol", "session_clock") if key in options}
        self.session = session = session_to(port, timing=timing, to=to, utc=utc, kind=self.sessions, **how)
        options.setdefault("interval_s", 60.0)
        options.setdefault("installation", lambda: INSTALLATION)
        about = options.pop("device", DEVICE), options.pop("meta", META), options.pop("health", health)
        return self.publishers(session, self.outbox, *about, **options)


def session_to(
    port: int,
    *,
    timing: Timing = SHORT,
    to: Endpoint | None = None,
    utc: Callable[[], float] = lambda: START,
    protocol: ProtocolChoice = "auto",
    session_clock: Callable[[], float] = time.monotonic,
    kind: type[Session] = Session,
) -> Session:
    return kind(
        to or Endpoint(HOST, port),
        DEVICE.client_id,
        protocol=protocol,
        will=lambda: will(DEVICE, utc()),
        timing=timing,
        backoff=QUICK,
        clock=session_clock,
    )


def health() -> Health:
    at = datetime.fromtimestamp(START, timezone.utc)
    return Health(at=at, frames_per_s=15.0, frames_dropped=0, unsent=0, source=SourceHealth(state="ok"))


@contextmanager
def opened(folder: Path, kind: type[State] = State) -> Iterator[State]:
    """Yield a state folder that is closed at the end."""
    state = kind(folder)
    try:
        yield state
    finally:
        state.outbox.close()
        state.journal.close()


def settle(publisher: Publisher, until: Callable[[], object]) -> None:
    """Step the publisher until `until` returns something true."""
    eventually(lambda: publisher.step(0.01) or until())  # type: ignore[func-returns-value]


def steps(publisher: Publisher, count: int) -> None:
    for _ in range(count):
        publisher.step(0.01)
