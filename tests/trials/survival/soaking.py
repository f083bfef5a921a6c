"""Run an hour at full speed on the rendered street: memory, files and threads must not grow; writes are measured."""

from __future__ import annotations

import json
import signal
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from statistics import median
from typing import Final

import psutil

from tests.support.brokers import mosquitto
from tests.support.program import Program
from tests.trials.survival.rows import Outcome, Row, Trial, failures

GROWTH_MB: Final = 5.0
_EVERY_S: Final = 10.0
_WARM_S: Final = 90.0
"""Time after which caches are full."""
CONFIG = """
device = {{ site = "test-site", device = "soak" }}
source = {{ kind = "street", width = 1280, height = 720, fps = 60.0 }}
lines = [{{ id = "road", start = [0.5, 0.97], end = [0.5, 0.36] }}]
mqtt = {{ port = {port} }}
store = {{ folder = "state" }}
log = {{ format = "json" }}
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Measurement of the running program.

    at_s: since the start. written_mb: written to disk so far. cpu_s: processor time used so far.
    """

    at_s: float
    rss_mb: float
    files: int
    threads: int
    written_mb: float
    cpu_s: float


def run(trial: Trial) -> Outcome:
    """Run in real time, for one hour or three minutes, and write the samples to `samples.jsonl`."""
    minutes = 3.0 if trial.short else 60.0
    with mosquitto(trial.folder / "broker") as broker, closing(Program(trial.folder / "program")) as program:
        program.start(CONFIG.format(port=broker.port))
        samples = list[Sample]()
        began = time.monotonic()
        with (trial.folder / "samples.jsonl").open("w", buffering=1) as file:
            while time.monotonic() - began < 60 * minutes:
                time.sleep(_EVERY_S)
                samples.append(_sample(program.process, time.monotonic() - began))
                file.write(json.dumps(asdict(samples[-1])) + "\n")
                if len(samples) % 30 == 0:
                    trial.report(f"{samples[-1].at_s / 60:.0f} min, {samples[-1].rss_mb:.0f} MB")
        program.signal(signal.SIGTERM)
        while not program.has_ended():
            time.sleep(0.1)
    return _evaluate(samples, program)


def _sample(process: psutil.Process, at_s: float) -> Sample:
    with process.oneshot():
        memory, cpu = process.memory_info().rss / 1e6, sum(process.cpu_times()[:2])
        written = process.io_counters().write_bytes / 1e6
        return Sample(at_s, memory, process.num_fds(), process.num_threads(), written, cpu)


def _evaluate(samples: list[Sample], program: Program) -> Outcome:
    result = program.runs[0]
    warm = [sample for sample in samples if sample.at_s >= _WARM_S]
    tenth = max(1, len(warm) // 10)
    growth = median(s.rss_mb for s in warm[-tenth:]) - median(s.rss_mb for s in warm[:tenth])
    files = max(s.files for s in warm[-tenth:]) - max(s.files for s in warm[:tenth])
    threads = max(s.threads for s in warm[-tenth:]) - max(s.threads for s in warm[:tenth])
    span = max(warm[-1].at_s - warm[0].at_s, 1e-3)
    hourly = (warm[-1].written_mb - warm[0].written_mb) / span * 3600
    cores = (warm[-1].cpu_s - warm[0].cpu_s) / span
    broken = failures(
        (growth < GROWTH_MB, f"memory grew by {growth:.1f} MB"),
        (files <= 0, f"{files} more files open"),
        (threads <= 0, f"{threads} more threads"),
        (result.code == 0, f"exit code {result.code}"),
    )
    return Outcome(
        f"{samples[-1].at_s / 60:.0f} min at {cores:.2f} cores, {len(result.counted)} vehicles; "
        f"{warm[-1].rss_mb:.0f} MB, grown by {growth:+.1f}; {warm[-1].files} files, {warm[-1].threads} threads; "
        f"{hourly:.1f} MB an hour written",
        broken,
    )


ROW = Row(
    "soak",
    "1 h at full speed on the rendered street",
    "memory grows by less than 5 MB, no file or thread leaks; writes per hour stated",
    run,
)
