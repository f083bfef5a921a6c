"""Set the program's clock to wrong times for 25 s each, as a time server's wrong answers do, while vehicles pass.

What the program counted is in its log; what counts is what a consumer adds up by the rule of the documents.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from tests.support.brokers import eventually, mosquitto
from tests.support.consumer import Consumer, by_class, by_the_rule
from tests.support.ledger_cases import on_disk, payloads
from tests.support.program import Program
from tests.trials.survival.chaos import BUSY, CONFIG, SAVED, SteppedClock
from tests.trials.survival.rows import Outcome, Row, Trial, failures

ANSWERS: Final = {"+1 h": 3600.0, "2038": 4_000 * 86_400.0, "-2 h": -7200.0}
WRONG_S: Final = 25.0
_QUIET_S: Final = (15.0, 40.0)
"""Shortest and longest time between two answers, s."""
_PATIENCE_S: Final = 60.0


def run(trial: Trial) -> Outcome:
    """Run in real time. Raises RuntimeError: without mosquitto."""
    if not shutil.which("mosquitto"):
        raise RuntimeError("needs the broker: apt install mosquitto")
    folder, chance = trial.folder, random.Random(2026)
    clock, wrong_s = SteppedClock(folder), 5.0 if trial.short else WRONG_S
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder, *SAVED, f"persistence_location {folder}/"))
        consumer = stack.enter_context(closing(Consumer(folder / "city", broker.port)))
        program = stack.enter_context(closing(Program(folder, clock.file)))
        consumer.start()
        program.start(CONFIG.format(seed=1, flow=BUSY, port=broker.port))
        began = time.time()
        for name, error in ANSWERS.items() if trial.short else [*ANSWERS.items()] * 2:
            time.sleep(chance.uniform(*_QUIET_S) / (3 if trial.short else 1))
            clock.set(error)
            time.sleep(wrong_s)
            clock.set(0.0)
            trial.report(f"{name} for {wrong_s:.0f} s: {len(consumer.intervals)} intervals have arrived")
        time.sleep(_QUIET_S[0])
        program.signal(signal.SIGTERM)
        eventually(lambda: time.sleep(0.1) or program.has_ended(), _PATIENCE_S)  # type: ignore[func-returns-value]
        state = folder / "state"
        eventually(lambda: time.sleep(0.5) or not _absent(state, consumer), _PATIENCE_S)  # type: ignore[func-returns-value]
        return _evaluate(folder, program, consumer, (began, time.time()))


def _absent(state: Path, consumer: Consumer) -> set[str]:
    return {interval["id"] for interval in payloads(state)} - {interval["id"] for interval in consumer.intervals}


def _evaluate(folder: Path, program: Program, consumer: Consumer, span: tuple[float, float]) -> Outcome:
    logged = [crossing for run in program.runs for crossing in run.counted]
    counting = by_the_rule(consumer.arrived)
    delivered = sum(map(_vehicles, counting))
    opened = sum(by_class(i.counts).total() for i in on_disk(folder / "state", folder / "copy").intervals)
    stepped = [i for i in counting if "clock_stepped" in i["quality"]]
    elsewhere = sum(not span[0] - 1 <= crossing.at <= span[1] for crossing in logged)
    lowest = min((interval["coverage"] for interval in counting[1:]), default=0.0)
    broken = failures(
        (bool(logged), "no vehicle was counted"),
        (delivered + opened == len(logged), f"{len(logged)} counted, {delivered} delivered by the rule, {opened} open"),
        (not elsewhere, f"{elsewhere} vehicles were counted at a wrong time"),
        (bool(stepped), "no interval is flagged"),
        (not consumer.lines("conflict|overlap|set aside"), f"{consumer.lines('conflict|overlap|set aside')[:1]}"),
    )
    figures = (
        f"{len(logged)} vehicles counted, {delivered} delivered by the rule, {opened} open; {len(counting)} intervals "
        f"of {len({i['installation'] for i in counting})} installation, {len(stepped)} flagged clock_stepped, "
        f"lowest coverage {lowest:.2f}"
    )
    return Outcome(figures, broken)


def _vehicles(interval: dict[str, Any]) -> int:
    return by_class(interval["counts"]).total()


ROW = Row(
    "answers",
    "a time server's wrong answers for 25 s: an hour ahead, 2038, two hours back",
    "what a consumer adds up by the rule is every vehicle counted, at its true time",
    run,
)
