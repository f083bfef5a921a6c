"""Measure what a candidate that counts beside costs the detector in service, on two cores that others keep busy.

`python -m tests.trials.shadow [--blocks 24] [--block 4] [--width 640] [--fps 8]` runs one service in front of a
rendered street on two cores, with a candidate that is ready. In every other block of so many seconds the candidate is
shown the frames. It does so with nothing else started, with a program on one core that never rests, and with one on
each. It prints frames/s, dropped frames, times of the detector, processor time and memory of both kinds of blocks, and
their ratios: they come from one run, so what else the machine does meets both. Frames/s and the p95 of a whole frame
are also compared block by block, each with the one beside it: the geometric mean of the ratios and its standard error.
It takes six minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from edge_app.app import service
from edge_app.config.model import Config
from edge_app.console.terminal import stdout, table
from edge_app.detectors.manifest import default_model
from edge_app.records import FrameResult
from edge_app.rollout.shadowing import Shadow
from edge_app.service import Service
from edge_app.sources.street.street import Street
from edge_app.system.threads import Worker
from tests.support.brokers import eventually

CANDIDATE: Final = default_model().with_name("ssdlite_mobilenet_v2_300x300.tflite")
_SETTLES_S: Final = 1.0
"""Begin of a block, s, that is left out."""


@dataclass(slots=True)
class Blocks:
    """What was measured in all blocks of one kind.

    times: stage -> s of each frame. each: frames/s and p95, s, of each block.
    """

    seconds: float = 0.0
    frames: int = 0
    dropped: int = 0
    processor_s: float = 0.0
    candidate_s: float = 0.0
    times: dict[str, list[float]] = field(default_factory=dict)
    each: list[tuple[float, float]] = field(default_factory=list)

    def percentile(self, stage: str, share: float) -> float:
        """Return ms."""
        return float(np.percentile(self.times[stage], share)) * 1e3


class Measured:
    """A running service whose candidate can be left out, and what each frame took."""

    def __init__(self, running: Service, beside: Shadow) -> None:
        self._running, self._beside = running, beside
        self.shown, self._into = False, Blocks()
        times, add, offer = running._pipeline.times, running._pipeline.times.add, beside.offer

        def noted(stage: str, seconds: float) -> None:
            self._into.times.setdefault(stage, []).append(seconds)
            add(stage, seconds)

        def offered(result: FrameResult) -> None:
            if self.shown:
                offer(result)

        times.add = noted  # type: ignore[method-assign]
        beside.offer = offered  # type: ignore[method-assign]

    def block(self, into: Blocks, seconds: float, *, shown: bool) -> None:
        """Measure for so many seconds, with the frames shown to the candidate or not."""
        self.shown, self._into = shown, Blocks()
        if shown:  # as if it had never fallen behind: it is to take all that it can get
            self._beside._comparison._failures, self._beside._comparison._resume_at = 0, -math.inf
        time.sleep(_SETTLES_S)
        self._into, began = into, time.monotonic()
        frames, dropped, spent, candidate = self._figures()
        known = len(into.times.get("latency", ()))
        time.sleep(seconds)
        self._into = Blocks()
        into.seconds += time.monotonic() - began
        after = self._figures()
        into.frames += round(after[0] - frames)
        into.dropped += round(after[1] - dropped)
        into.processor_s += after[2] - spent
        into.candidate_s += after[3] - candidate
        latency = into.times.get("latency", [])[known:]
        into.each.append(((after[0] - frames) / seconds, float(np.percentile(latency, 95)) if latency else np.nan))

    def _figures(self) -> tuple[float, float, float, float]:
        return self._running.frames, self._running.dropped, time.process_time(), _processor_s(self._beside.pid)


def _processor_s(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int | None) -> float:
    """Return the memory of a process (PSS): what two share counts half for each."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


@contextmanager
def busy(cores: Sequence[int]) -> Iterator[None]:
    """Keep each of these cores busy with a program of normal priority."""
    code = "while True: pass"
    programs = [subprocess.Popen(("taskset", "-c", str(core), sys.executable, "-c", code)) for core in cores]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


@contextmanager
def measured(width: int, fps: float, folder: Path) -> Iterator[tuple[Measured, Shadow]]:
    """Run the service, and yield it once its candidate is ready."""
    settings = {"detector": {"shadow": CANDIDATE}, "counting": {"interval_s": 10}, "mqtt": {"port": 9}}
    config = Config.model_validate({"source": {"kind": "street"}, "store": {"folder": folder}, **settings})
    source = Street(width=width, height=width * 9 // 16, fps=fps, seed=5, flow=(20.0, 20.0), pace="real")
    stop, found = threading.Event(), list[Shadow]()
    enter = Shadow.__enter__

    def entered(beside: Shadow) -> Shadow:
        found.append(beside)
        return enter(beside)

    Shadow.__enter__ = entered  # type: ignore[method-assign]
    with service(config, source) as running:
        probe = Measured(running, found[0])
        worker = Worker("service", lambda _: running.run(stop), lambda _name, fault: stdout().print(fault))
        worker.start()
        eventually(lambda: time.sleep(0.1) or found[0].health.state != "starting", 120.0)  # type: ignore[func-returns-value]
        time.sleep(5.0)
        yield probe, found[0]
        stop.set()
        worker.join(30.0)
    Shadow.__enter__ = enter  # type: ignore[method-assign]


def show(title: str, alone: Blocks, beside: Blocks) -> None:
    """Print both kinds of blocks and their ratios."""
    kinds = alone, beside
    figures: dict[str, list[float]] = {
        "frames/s": [kind.frames / kind.seconds for kind in kinds],
        "dropped frames": [kind.dropped for kind in kinds],
        "inference p50, ms": [kind.percentile("detect", 50) for kind in kinds],
        "inference p95, ms": [kind.percentile("detect", 95) for kind in kinds],
        "whole frame p50, ms": [kind.percentile("latency", 50) for kind in kinds],
        "whole frame p95, ms": [kind.percentile("latency", 95) for kind in kinds],
        "processor time a frame, ms": [1e3 * kind.processor_s / max(1, kind.frames) for kind in kinds],
        "processor time of the candidate, s": [kind.candidate_s for kind in kinds],
    }
    shown = table("", "without", "with", "with / without")
    for name, (without, with_it) in figures.items():
        shown.add_row(name, f"{without:.1f}", f"{with_it:.1f}", f"{with_it / without:.2f}" if without else "")
    stdout().print(f"\n{title}", style="bold")
    stdout().print(shown)
    pairs = np.log(np.array(beside.each)) - np.log(np.array(alone.each))
    for name, ratios in zip(("frames/s", "whole frame p95"), pairs.T, strict=True):
        known = ratios[np.isfinite(ratios)]
        error = float(np.std(known)) / len(known) ** 0.5
        stdout().print(f"{name}, block by block: {np.exp(np.mean(known)):.2f} +- {error:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=24, help="of a load, an even number")
    parser.add_argument("--block", type=float, default=4.0, help="length, s")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--fps", type=float, default=8.0)
    a = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores)
    loads = {"nothing else started": [], "one core busy": cores[:1], "both cores busy": cores}
    with tempfile.TemporaryDirectory() as folder, measured(a.width, a.fps, Path(folder)) as (probe, shadow):
        for title, taken in loads.items():
            kinds = Blocks(), Blocks()
            with busy(taken):
                for n in range(a.blocks):
                    with_it = (n + 1) // 2 % 2  # without, with, with, without ...: what drifts meets both
                    probe.block(kinds[with_it], a.block, shown=bool(with_it))
            show(title, *kinds)
            health = shadow.health
            stdout().print(f"compared {health.compared}, given up {health.given_up} so far: {health.why}")
        stdout().print(f"memory: {memory_mb(os.getpid()):.0f} MB, the candidate {memory_mb(shadow.pid):.0f} MB more")


if __name__ == "__main__":
    main()
