"""Break everything at once: kill program, broker and consumer, cut the network, take the session, step the clock.

What the program counted is in its log; what has arrived is what the example consumer of the documents has stored.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_app.mqtt.events import Timing
from edge_app.mqtt.session import Subscriber
from edge_app.records import Counts
from edge_app.storage.outbox import Outbox
from tests.support.brokers import Mosquitto, eventually, mosquitto, session, subscribed
from tests.support.consumer import Consumer, by_class, missing, wrong_totals
from tests.support.invariants import Key
from tests.support.ledger_cases import on_disk, payloads
from tests.support.program import Program
from tests.support.relay import Relay, relay
from tests.trials.survival.rows import Outcome, Row, Trial, failures

SITE, DEVICE = "test-site", "survivor"
CONFIG: Final = """
device = {{ site = "test-site", device = "survivor" }}
source = {{ kind = "street", width = 640, height = 360, fps = 10.0, seed = {seed}, flow = [{flow}, {flow}] }}
detector = {{ threads = 1 }}
counting = {{ interval_s = 10 }}
mqtt = {{ port = {port}, keepalive_s = 5 }}
store = {{ folder = "state" }}
log = {{ format = "json" }}
"""
BUSY: Final = 30.0
SAVED: Final = ("allow_anonymous true", "persistence true", "autosave_on_changes true", "autosave_interval 1")
OFFSETS_S: Final = (-7200.0, -900.0, -65.0, -12.0, 0.0, 0.0, 15.0, 100.0, 250.0)
"""What the program's clock is off, s: never by five minutes forward, from which a consumer sets intervals aside."""
MINUTES: Final = 30.0
_PATIENCE_S: Final = 900.0
"""A consumer waits ten minutes for the reply to a command before it asks again."""


class SteppedClock:
    """Clock of the program, set by a file."""

    def __init__(self, folder: Path) -> None:
        self.file, self._new = folder / "clock", folder / "clock.new"
        self.steps = 0
        self.offset = 0.0
        self.set(0.0)
        self.steps = 0

    def set(self, offset: float) -> None:
        self.steps += offset != self.offset
        self.offset = offset
        self._new.write_text(f"{offset:+.0f}\n")
        self._new.replace(self.file)


@dataclass(slots=True)
class Fault:
    """One kind of fault. pause: shortest and longest time, s, from one to the next. due: monotonic s."""

    cause: Callable[[], None]
    pause: tuple[float, float]
    due: float = 0.0
    times: int = 0


class Chaos:
    """Causes of faults, each with its own rhythm, in one thread, which also reads what is offered."""

    def __init__(
        self, parts: tuple[Program, Mosquitto, Relay, Consumer, Subscriber, SteppedClock], chance: random.Random
    ) -> None:
        self._program, self._broker, self._relay, self._consumer, self._reader, self._clock = parts
        self._random, self._starts, self._flow = chance, 0, BUSY
        self.contents: dict[str, set[bytes]] = defaultdict(set)
        self.faults = {
            "kills": Fault(lambda: self._end_program(signal.SIGKILL), (8.0, 40.0)),
            "stops": Fault(lambda: self._end_program(signal.SIGTERM), (40.0, 120.0)),
            "broker kills": Fault(lambda: self._end_broker(self._broker.kill), (30.0, 90.0)),
            "broker restarts": Fault(lambda: self._end_broker(self._broker.stop), (60.0, 150.0)),
            "cuts": Fault(self._relay.cut, (5.0, 30.0)),
            "silences": Fault(self._silence, (20.0, 60.0)),
            "takeovers": Fault(self._take_over, (15.0, 60.0)),
            "clock steps": Fault(self._step_clock, (15.0, 60.0)),
            "consumer kills": Fault(self._end_consumer, (40.0, 120.0)),
        }

    def run(self, seconds: float, report: Callable[[str], None], quick: float = 1.0) -> None:
        """Cause faults for this time, s. quick: factor by which pauses are shorter."""
        began = time.monotonic()
        for fault in self.faults.values():
            fault.due = began + self._random.uniform(2.0, fault.pause[1]) / quick
        told = 0
        while (elapsed := time.monotonic() - began) < seconds:
            self.wait(0.2)
            for fault in self.faults.values():
                if time.monotonic() >= fault.due:
                    fault.cause()
                    fault.times += 1
                    fault.due = time.monotonic() + self._random.uniform(*fault.pause) / quick
            if elapsed // 60 > told:
                told = int(elapsed // 60)
                report(f"{told} min: {self.said}, {len(self.contents)} intervals offered")

    @property
    def said(self) -> str:
        return ", ".join(f"{fault.times} {name}" for name, fault in self.faults.items())

    def start(self) -> None:
        self._starts += 1
        self._program.start(CONFIG.format(seed=self._starts, flow=self._flow, port=self._relay.port))

    def wait(self, seconds: float) -> None:
        """Read what is offered for this time, s."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self._reader.read(0.05)
            if message is not None and "/counts/" in message.topic and message.payload:
                self.contents[message.payload.split(b'"id":"', 1)[1][:32].decode()].add(message.payload)

    def _wait_until(self, condition: Callable[[], bool], timeout: float) -> None:
        def read_and_check() -> bool:
            self.wait(0.1)
            return condition()

        eventually(read_and_check, timeout)

    def _end_program(self, number: signal.Signals) -> None:
        self._program.signal(number)
        self._wait_until(self._program.has_ended, 40.0)
        self.start()

    def _end_broker(self, end: Callable[[], None]) -> None:
        end()
        time.sleep(self._random.uniform(0.0, 5.0))
        self._broker.start()

    def _silence(self) -> None:
        held = self._random.choice((self._relay.frozen, self._relay.deaf))
        held.set()
        self.wait(self._random.uniform(0.5, 12.0))
        held.clear()

    def _take_over(self) -> None:
        """Connect with the client id of the device, as a copied card does; the broker ends the other connection."""
        with closing(session(self._broker.port, f"edge-app-{SITE}-{DEVICE}", timing=Timing(connect=2.0))) as thief:
            end = time.monotonic() + self._random.uniform(0.2, 3.0)
            while time.monotonic() < end:
                thief.poll(0.05)

    def _step_clock(self) -> None:
        self._clock.set(self._random.choice(OFFSETS_S))

    def _end_consumer(self) -> None:
        self._consumer.kill()
        self.wait(self._random.uniform(0.0, 10.0))
        self._consumer.start()

    def settle(self, state: Path) -> str:
        """Heal everything, run on until all has arrived, then stop the program; return what has not arrived, or ""."""
        self._clock.set(0.0)
        end = time.monotonic() + _PATIENCE_S
        while (absent := self._absent(state)) and time.monotonic() < end:
            self.wait(1.0)
        self._program.signal(signal.SIGTERM)
        self._wait_until(self._program.has_ended, 40.0)
        while (last := self._absent(state)) and time.monotonic() < end:
            self.wait(1.0)
        return absent or last

    def _absent(self, state: Path) -> str:
        """Return what the consumer has not got of what does not wait on the device, or that more than one waits."""
        outbox = Outbox(state)
        try:
            waiting, numbers = outbox.pending(limit=1000), outbox.numbers(SITE, DEVICE)
        finally:
            outbox.close()
        stored = {key: {i["seq"] for i in rows} for key, rows in self._consumer.series.items()}
        for outgoing in waiting:
            stored.setdefault((outgoing.installation, outgoing.line), set()).add(outgoing.seq)
        absent = {
            installation: newest - len(stored.get((installation, line), ()))
            for installation, lines in numbers.items()
            for line, (_, newest) in lines.items()
        }
        holes = ", ".join(f"{n} of {installation}" for installation, n in absent.items() if n)
        return holes or (f"{len(waiting)} wait" if len(waiting) > 1 else "")


def run(trial: Trial) -> Outcome:
    """Run in real time. Raises RuntimeError: without mosquitto."""
    if not shutil.which("mosquitto"):
        raise RuntimeError("needs the broker: apt install mosquitto")
    folder, chance = trial.folder, random.Random(2026)
    seconds, quick = (25.0, 6.0) if trial.short else (60.0 * MINUTES, 1.0)
    clock = SteppedClock(folder)
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder, *SAVED, f"persistence_location {folder}/"))
        link = stack.enter_context(relay(broker.port))
        reader = stack.enter_context(subscribed(broker.port, "traffic/v1/+/+/counts/+", name="witness", keep=3600))
        consumer = stack.enter_context(closing(Consumer(folder / "city", broker.port)))
        program = stack.enter_context(closing(Program(folder, clock.file)))
        chaos = Chaos((program, broker, link, consumer, reader, clock), chance)
        consumer.start()
        chaos.start()
        chaos.run(seconds, trial.report, quick)
        trial.report("all is healed: waiting until everything has arrived")
        late = chaos.settle(folder / "state")
    return _evaluate(trial.folder, chaos, program, consumer, clock, late)


def _evaluate(
    folder: Path, chaos: Chaos, program: Program, consumer: Consumer, clock: SteppedClock, late: str
) -> Outcome:
    runs = program.runs
    killed = sum(run.code is None for run in runs)
    counted = Counter(crossing.key for run in runs for crossing in run.counted)
    delivered = sum((_keyed(i["line"], i["counts"]) for i in consumer.intervals), Counter[Key]())
    known = {i["id"] for i in consumer.intervals}  # one that has arrived may still wait for its acknowledgement
    unsent = [i for i in payloads(folder / "state") if i["id"] not in known]
    closed = sum((_keyed(i["line"], i["counts"]) for i in unsent), Counter[Key]())
    opened = on_disk(folder / "state", folder / "copy").intervals
    waiting = sum((_keyed(i.line, i.counts) for i in opened), closed)
    arrived = delivered + waiting
    lost, extra = (counted - arrived).total(), (arrived - counted).total()
    series = consumer.series
    two = sum(len(versions) > 1 for versions in chaos.contents.values())
    gaps = sum(missing(rows) for rows in series.values())
    totals = sum(wrong_totals(rows) for rows in series.values())
    ended = [run.code for run in runs if run.code and run.first_frame]  # before, Python itself may still be starting
    broken = failures(
        (not late, f"not everything arrived: {late}"),
        (bool(counted) and not lost, f"{lost} counted vehicles have not arrived"),
        (extra <= killed, f"{extra} vehicles more than were logged, with {killed} kills"),
        (not two, f"{two} ids with two contents"),
        (not gaps, f"{gaps} numbers are missing"),
        (not totals, f"{totals} totals are not the sums"),
        (not consumer.lines("lost"), f"{len(consumer.lines('lost'))} times a reply called intervals lost"),
        (
            not consumer.lines("conflict"),
            f"{len(consumer.lines('conflict'))} conflicts: {consumer.lines('conflict')[:1]}",
        ),
        (not consumer.lines("Traceback"), "the consumer crashed"),
        (not ended, f"exit codes {sorted(map(str, ended))}"),
    )
    figures = (
        f"{chaos.said} ({clock.steps} other times): {counted.total()} counted, {delivered.total()} delivered, "
        f"{waiting.total()} open, {extra} killed before the log; {len(consumer.intervals)} intervals of "
        f"{len({installation for installation, _ in series})} installations"
    )
    return Outcome(figures, broken)


def _keyed(line: str, counts: Counts) -> Counter[Key]:
    return Counter({(line, label, way): n for (label, way), n in by_class(counts).items()})


ROW = Row(
    "chaos",
    "30 minutes of kills, cuts, restarts, takeovers and steps of the clock at once",
    "counted = delivered + open; no id has two contents, no number is missing, totals are the sums",
    run,
)
