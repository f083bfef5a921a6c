"""From a real outbox over real brokers: nothing lost, nothing in two versions, one refused topic stops no other."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from edge_app.broker import HOST, embedded
from edge_app.endpoint import Endpoint
from edge_app.journal import Closing, Journal, LineState, Saved
from edge_app.messages import Device, Health, LineMeta, Meta, SourceHealth, encode_counts
from edge_app.mqtt import Message, Timing
from edge_app.publisher import Publisher, will
from edge_app.records import IntervalCounts
from edge_app.session import Session, Subscriber
from edge_app.store import FILE, ClosedInterval, Outbox
from tests.brokers import (
    QUICK,
    SHORT,
    Mosquitto,
    collect,
    eventually,
    free_port,
    mosquitto,
    needs_iotcore,
    needs_mosquitto,
    password_file,
    relay,
    subscribed,
)
from tests.test_messages import validate

DEVICE = Device("delft", "cam-1", "boot", "0.1.0", "ab" * 32, "cd" * 32)
META = Meta(
    site="delft",
    device="cam-1",
    lines=[LineMeta(id="a", start=(0, 0.5), end=(1, 0.5))],
    classes=["car"],
    interval_s=60,
    model="ab",
    config="cd",
    version="0.1.0",
)
START = 1_800_000_000.0


@dataclass
class Clock:
    """A clock that moves when it is told to; with `running` also by itself."""

    now: float
    running: bool = False

    def __call__(self) -> float:
        return self.now + (time.monotonic() if self.running else 0.0)


class State:
    """A state folder: a real journal that closes intervals, and the outbox that offers them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder, Saved("test"), 10_000)
        self.outbox = Outbox(folder)
        self._seq: dict[str, int] = defaultdict(int)

    def close_intervals(self, count: int, line: str = "a") -> None:
        for _ in range(count):
            self._seq[line] = seq = self._seq[line] + 1
            start = START + 60 * (seq - 1)
            both = {"car": {"left_to_right": seq, "right_to_left": 0}}
            interval = IntervalCounts(line, start, 60.0, both, 60.0, 900, 0)  # type: ignore[arg-type]
            payload = encode_counts(DEVICE, ClosedInterval(interval, seq, interval.counts, "boot"))
            state = LineState(line, seq, interval.counts, start, interval.end)
            self.journal.save([], [], [Closing(state, payload)], lost=0, synced=False)

    @property
    def closed(self) -> int:
        """Intervals that were closed on all lines."""
        return sum(self._seq.values())

    def publisher(self, port: int, *, timing: Timing = SHORT, to: Endpoint | None = None, **options: Any) -> Publisher:
        utc: Callable[[], float] = options.setdefault("utc", lambda: START)
        self.session = session = session_to(port, timing=timing, to=to, utc=utc)
        options.setdefault("interval_s", 60.0)
        return Publisher(session, self.outbox, DEVICE, META, health, **options)


def session_to(
    port: int, *, timing: Timing = SHORT, to: Endpoint | None = None, utc: Callable[[], float] = lambda: START
) -> Session:
    where = to or Endpoint(HOST, port)
    return Session(where, DEVICE.client_id, will=lambda: will(DEVICE, utc()), timing=timing, backoff=QUICK)


def health() -> Health:
    at = datetime.fromtimestamp(START, timezone.utc)
    return Health(at=at, frames_per_s=15.0, frames_dropped=0, unsent=0, source=SourceHealth(state="ok"))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path)
    yield state
    state.outbox.close()
    state.journal.close()


@pytest.fixture(scope="module", params=["mosquitto", "embedded"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if request.param == "embedded":
        if needs_iotcore.args[0]:
            pytest.skip(needs_iotcore.kwargs["reason"])
        with embedded() as port:
            yield port
        return
    if needs_mosquitto.args[0]:
        pytest.skip(needs_mosquitto.kwargs["reason"])
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker.port


def drive(publisher: Publisher, reader: Subscriber, enough: Callable[[Sequence[Message]], object]) -> list[Message]:
    """Runs both, turn by turn, until what was received is enough."""
    messages: list[Message] = []

    def turn() -> object:
        publisher.step(0.01)
        message = reader.read(0.01)
        messages.extend([message] if message else [])
        return enough(messages)

    eventually(turn)
    return messages


def emptied(state: State) -> Callable[[Sequence[Message]], bool]:
    return lambda _messages: len(state.outbox) == 0


def settle(publisher: Publisher, until: Callable[[], object]) -> None:
    eventually(lambda: publisher.step(0.01) or until())  # type: ignore[func-returns-value]


def born(publisher: Publisher, state: State) -> None:
    """Connected, and its birth acknowledged."""
    settle(publisher, lambda: state.session.connected)
    turns(publisher, 20)


def turns(publisher: Publisher, count: int) -> None:
    for _ in range(count):
        publisher.step(0.01)


def under(messages: Sequence[Message], channel: str) -> list[Any]:
    """The payloads of a channel, each held against the generated schema."""
    return [validate(channel, m.payload) for m in messages if m.topic.split("/")[4] == channel]


def seqs(messages: Sequence[Message], line: str = "a", channel: str = "counts") -> list[int]:
    return [document["seq"] for document in under(messages, channel) if document["line"] == line]


def test_oldest_first_and_deleted_when_acknowledged(state: State, port: int) -> None:
    state.close_intervals(30)
    with subscribed(port) as reader:
        publisher = state.publisher(port)
        messages = drive(publisher, reader, lambda got: len(seqs(got)) == 30 and seqs(got, channel="latest"))
        assert seqs(messages) == list(range(1, 31))
        assert seqs(messages, channel="latest") == [30]
        settle(publisher, lambda: publisher.unsent == 0)
        assert len(state.outbox) == 0
        publisher.drain(2.0)


def test_birth_health_and_a_clean_stop(state: State, port: int) -> None:
    clock = Clock(0.0, running=True)
    with subscribed(port) as reader:
        publisher = state.publisher(port, clock=clock)
        birth = drive(publisher, reader, lambda got: under([m for m in got if not m.retained], "health"))
        fresh = [m for m in birth if not m.retained]  # the broker keeps what other tests left
        assert [s["state"] for s in under(fresh, "status")] == ["online"]
        assert [m["site"] for m in under(fresh, "meta")] == ["delft"]
        clock.now += 50.0
        turns(publisher, 10)
        assert reader.read(0.05) is None
        clock.now += 10.0
        assert len(under(drive(publisher, reader, bool), "health")) == 1
        publisher.drain(2.0)
        assert [s["state"] for s in under(collect(reader, bool), "status")] == ["stopped"]
    with subscribed(port, name="later") as later:
        retained = collect(later, lambda got: {"status", "meta"} <= {m.topic.split("/")[4] for m in got})
        assert {m.topic.split("/")[4]: m.retained for m in retained}.get("health") is None
        assert [s["state"] for s in under(retained, "status")] == ["stopped"]


@pytest.mark.parametrize(("passed", "late"), [(0.0, False), (60.0, False), (60.5, True), (1e6, True)])
def test_late_is_more_than_one_interval_after_the_end(state: State, port: int, passed: float, late: bool) -> None:
    state.close_intervals(1)
    with subscribed(port) as reader:
        publisher = state.publisher(port, utc=Clock(START + 60.0 + passed))
        messages = drive(publisher, reader, lambda got: under(got, "counts"))
        assert [document["late"] for document in under(messages, "counts")] == [late]
        publisher.drain(2.0)


def test_a_second_offering_is_the_same_to_the_byte(state: State, port: int) -> None:
    """The first is received and its acknowledgement is not; by the second it would have been late."""
    state.close_intervals(1)
    utc = Clock(START + 61.0)
    with subscribed(port, "+/+/+/+/counts/#") as reader, relay(port) as between:
        publisher = state.publisher(between.port, utc=utc, timing=Timing(connect=2.0, keepalive=60, ack=0.3))
        born(publisher, state)
        state.close_intervals(1)
        between.deaf.set()
        first = drive(publisher, reader, lambda got: 2 in seqs(got))
        utc.now += 3600.0
        settle(publisher, lambda: "no acknowledgement" in publisher.problem)
        between.deaf.clear()
        again = drive(publisher, reader, emptied(state))
        again += drive(publisher, reader, bool) if not again else []
        assert {m.payload for m in again} == {m.payload for m in first if 2 in seqs([m])}
        publisher.drain(2.0)


def test_a_late_delivery_never_overwrites_the_latest(state: State, port: int) -> None:
    state.close_intervals(5)
    publisher = state.publisher(port)
    settle(publisher, lambda: publisher.unsent == 0 and len(state.outbox) == 0)
    publisher.drain(2.0)
    with subscribed(port, f"{DEVICE.prefix}/latest/a") as reader:
        assert seqs(collect(reader, bool), channel="latest") == [5]


@needs_mosquitto
def test_a_refused_line_is_kept_and_the_others_go_on(state: State, tmp_path: Path) -> None:
    folder = tmp_path / "guarded"
    folder.mkdir()
    access = folder / "access"
    everything_but = "\n".join(f"topic write {DEVICE.prefix}/{part}" for part in ("status", "meta", "health", "+/b"))
    access.write_text(f"user cam\n{everything_but}\nuser city\ntopic read #\n")
    passwords = password_file(folder, "cam", "right")
    clock = Clock(0.0, running=True)
    settings = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {access}")
    with mosquitto(folder, *settings) as broker:
        state.close_intervals(200, "a")
        state.close_intervals(3, "b")
        publisher = state.publisher(0, to=Endpoint(HOST, broker.port, "cam", "right"), clock=clock, rate=1e6)
        settle(publisher, lambda: publisher.unsent == 200)
        assert publisher.problem == (
            f"broker refuses {DEVICE.prefix}/counts/a (Not authorized); allow it in the broker's access list"
        )
        assert state.session.connected
        access.write_text(f"user cam\ntopic write {DEVICE.prefix}/#\n")
        broker.signal(signal.SIGHUP)
        turns(publisher, 10)
        assert publisher.unsent == 200  # asked again after a minute, not at once
        clock.now += 61.0
        settle(publisher, lambda: publisher.unsent == 0)
        assert publisher.problem == ""
        publisher.drain(2.0)


def test_a_backlog_goes_out_at_a_bounded_rate(state: State, port: int) -> None:
    clock = Clock(0.0)
    state.close_intervals(100)
    publisher = state.publisher(port, clock=clock, window=20, rate=20.0, uniform=min)
    settle(publisher, lambda: publisher.unsent == 80)
    for unsent in (70, 60, 50):
        clock.now += 1.0
        turns(publisher, 20)
        assert publisher.unsent == unsent
    state.session.close()


def test_each_connection_has_a_pace_of_its_own(state: State, port: int) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return 1.0

    clock = Clock(0.0)
    state.close_intervals(60)
    publisher = state.publisher(port, clock=clock, window=20, rate=20.0, uniform=uniform)
    settle(publisher, lambda: publisher.unsent == 40)
    clock.now += 1.0
    settle(publisher, lambda: publisher.unsent == 20)
    assert asked == [(0.5, 1.0)]
    state.session.close()


def test_no_more_than_the_window_is_unacknowledged(state: State, port: int) -> None:
    with subscribed(port, "+/+/+/+/counts/#") as reader, relay(port) as between:
        publisher = state.publisher(between.port, window=5, timing=Timing(connect=2.0, keepalive=60, ack=60.0))
        born(publisher, state)
        between.deaf.set()
        state.close_intervals(20)
        messages = drive(publisher, reader, lambda got: len(seqs(got)) >= 5)
        for _ in range(10):
            publisher.step(0.01)
            late = reader.read(0.01)
            messages += [late] if late else []
        assert len(seqs(messages)) == 5
        state.session.close()


def test_a_stop_without_a_broker_ends_at_once_and_keeps_everything(state: State) -> None:
    state.close_intervals(3)
    publisher = state.publisher(free_port())
    settle(publisher, lambda: publisher.problem)
    begin = time.monotonic()
    publisher.drain(5.0)
    assert time.monotonic() - begin < 0.5
    assert len(state.outbox) == 3


def test_a_stop_with_a_silent_broker_keeps_its_deadline(state: State, port: int) -> None:
    with relay(port) as between:
        publisher = state.publisher(between.port, timing=Timing(connect=2.0, keepalive=60, ack=60.0))
        born(publisher, state)
        between.frozen.set()
        state.close_intervals(1)
        begin = time.monotonic()
        publisher.drain(0.5)
        assert 0.4 < time.monotonic() - begin < 1.0
        assert len(state.outbox) == 1


def test_a_stop_delivers_what_is_left(state: State, port: int) -> None:
    publisher = state.publisher(port)
    settle(publisher, lambda: state.session.connected)
    state.close_intervals(10)
    publisher.drain(5.0)
    assert len(state.outbox) == 0


def test_the_threads_body_ends_when_asked(state: State, port: int) -> None:
    stop = threading.Event()
    publisher = state.publisher(port)
    thread = threading.Thread(target=publisher.run, args=(stop,))
    with subscribed(port, f"{DEVICE.prefix}/counts/a") as reader:
        thread.start()
        try:
            state.close_intervals(5)
            assert seqs(collect(reader, lambda got: len(got) == 5)) == [1, 2, 3, 4, 5]
        finally:
            stop.set()
            thread.join(5)
    assert not thread.is_alive()
    assert len(state.outbox) == 0


def test_a_store_that_fails_is_told_and_tried_again(state: State, port: int) -> None:
    clock = Clock(0.0, running=True)
    publisher = state.publisher(port, clock=clock)
    settle(publisher, lambda: state.session.connected)
    path = state.folder / FILE
    away = path.rename(path.with_name("away"))
    clock.now += 10.0
    settle(publisher, lambda: FILE in publisher.problem)
    away.rename(path)
    clock.now += 10.0
    settle(publisher, lambda: publisher.problem == "")
    state.close_intervals(2)
    settle(publisher, lambda: publisher.unsent == 0 and len(state.outbox) == 0)
    publisher.drain(2.0)


@needs_mosquitto
def test_a_broker_that_dies_again_and_again(state: State, tmp_path: Path) -> None:
    """Every interval has one content at a subscriber that the broker remembers, and none is missing."""
    folder = tmp_path / "mortal"
    saved = ("persistence true", f"persistence_location {folder}/", "autosave_on_changes true", "autosave_interval 1")
    with mosquitto(folder, "allow_anonymous true", *saved) as broker:
        contents = survive(state, broker, deaths=4)
    assert {seq: len(payloads) for seq, payloads in contents.items()} == dict.fromkeys(range(1, 41), 1)


def survive(state: State, broker: Mosquitto, deaths: int) -> dict[int, set[bytes]]:
    """The payloads that were received under each seq, while the broker is killed and stopped in turn."""
    contents: dict[int, set[bytes]] = defaultdict(set)

    def read() -> Message | None:
        message = reader.read(0.005)
        if message:
            contents[validate("counts", message.payload)["seq"]].add(message.payload)
        return message

    def turn() -> bool:
        if reader.connected:  # what a broker loses that forgets a reader who was away is its loss, not ours
            publisher.step(0.005)
        read()
        return len(state.outbox) == 0 and len(contents) == state.closed

    def kill() -> None:
        """While it has taken messages whose acknowledgements have not arrived: they are offered again.

        One that had arrived would say that the broker has kept the message, and mosquitto says so before it has.
        """
        between.deaf.set()
        for _ in range(10):
            turn()
        while read():
            pass
        broker.kill()
        turns(publisher, 40)
        between.deaf.clear()

    with subscribed(broker.port, "+/+/+/+/counts/#", name="city", keep=3600) as reader, relay(broker.port) as between:
        publisher = state.publisher(between.port, timing=Timing(connect=2.0, keepalive=5, ack=0.3))
        for death, die in zip(range(deaths), itertools.cycle((kill, broker.stop)), strict=False):
            state.close_intervals(10)
            for _ in range(3 * death):  # another moment each time
                turn()
            die()
            for _ in range(10):
                turn()
            broker.start()
            eventually(turn)
        publisher.drain(2.0)
    return contents
