"""Measure the program on a 720p RTSP stream and on a looping file: python -m tests.trials.soak --minutes 10.

Both run at the same time, or one with `--only`, each with the default settings and a real broker. Exit 1 when a target
is missed: memory, its growth, and the time to the first frame. Where the machine is too busy for 15 frames/s a second
engine is loaded, and memory says more about the machine than about the program: see the frames/s.
"""

from __future__ import annotations

import argparse
import math
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2

from edge_app.console.terminal import bar, stdout, table
from edge_app.sources.street.street import Street
from tests.support.brokers import mosquitto
from tests.support.invariants import Run
from tests.support.program import Program
from tests.support.rtsp_server import RtspServer, why_not
from tests.support.videos import ffmpeg

SOURCES = "stream", "file"
EVERY_S = 10.0
MOST_MB, RISE_MB, FIRST_S = 120.0, 2.0, 2.0
"""Targets: resident memory, its growth in the last third, and the first frame after the start."""
CONFIG = """
device = {{ site = "test-site", device = "soak-{name}" }}
source = {source}
lines = [{{ id = "road", start = [0.5, 0.97], end = [0.5, 0.36] }}]
counting = {{ interval_s = 10 }}
mqtt = {{ port = {port} }}
store = {{ folder = "state" }}
log = {{ format = "json" }}
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Measurement of a running program.

    at_s: since the start. rss_mb, pss_mb: resident memory, without and with pages shared by other programs divided
    among them. cpu_s: processor time used so far.
    """

    at_s: float
    rss_mb: float
    pss_mb: float
    files: int
    threads: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class SoakResult:
    """Measurements of one program."""

    name: str
    run: Run
    samples: Sequence[Sample]

    def rss_mb(self, minutes: float) -> float:
        """Return the memory after this time, or at the end of a shorter run."""
        return min(self.samples, key=lambda sample: abs(sample.at_s - 60 * minutes)).rss_mb

    @property
    def highest_mb(self) -> float:
        return max(sample.rss_mb for sample in self.samples)

    @property
    def rise_mb(self) -> float:
        """Growth from the second third to the last, by medians, since frames in flight vary; the first fills caches."""
        rss = [sample.rss_mb for sample in self.samples]
        third = len(rss) // 3
        return median(rss[-third:]) - median(rss[-2 * third : -third])

    @property
    def first_frame_s(self) -> float:
        return math.inf if self.run.after_s is None else self.run.after_s

    @property
    def reaches_targets(self) -> bool:
        small = self.highest_mb <= MOST_MB and self.rise_mb <= RISE_MB
        return small and self.first_frame_s <= FIRST_S and self.run.code == 0


class MeasuredProgram:
    """`edge-app run` with the default settings on one source, with measurements."""

    def __init__(self, folder: Path, name: str, source: str, port: int) -> None:
        self._name, self._program = name, Program(folder)
        self._program.start(CONFIG.format(name=name, source=source, port=port))
        self._began = time.monotonic()
        self._samples: list[Sample] = []

    def sample(self) -> None:
        p = self._program.process
        with p.oneshot():
            at_s, rss, pss = time.monotonic() - self._began, p.memory_info().rss / 1e6, p.memory_full_info().pss / 1e6
            self._samples.append(Sample(at_s, rss, pss, p.num_fds(), p.num_threads(), sum(p.cpu_times()[:2])))

    def stop(self) -> SoakResult:
        self._program.signal(signal.SIGTERM)
        while not self._program.has_ended():
            time.sleep(0.1)
        return SoakResult(self._name, self._program.runs[0], self._samples)

    def close(self) -> None:
        self._program.close()


def street_video(folder: Path, seconds: float = 30.0) -> Path:
    """Write a rendered street, 1280x720 at 15 frames/s, as H.264."""
    street = Street(seconds=seconds)
    raw = folder / "raw.mp4"
    writer = cv2.VideoWriter(str(raw), cv2.VideoWriter.fourcc(*"mp4v"), 15.0, (1280, 720))
    for _ in range(round(15 * seconds)):
        frame = street.read(1.0)
        assert frame is not None
        writer.write(frame.image)
    writer.release()
    return ffmpeg(raw, "-c:v", "libx264", "-preset", "ultrafast", to=folder / "street.mp4")


def soak(folder: Path, minutes: float, names: Sequence[str]) -> list[SoakResult]:
    """Run the program for this time on the sources of these names."""
    video = street_video(folder)
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder / "broker"))
        camera = stack.enter_context(RtspServer(width=1280, height=720, rate=15))
        sources = {
            "stream": f'{{ kind = "stream", url = "{camera.url}" }}',
            "file": f'{{ kind = "file", path = "{video}", loop = true }}',
        }
        programs = []
        for name in names:
            programs.append(MeasuredProgram(folder / name, name, sources[name], broker.port))
            stack.callback(programs[-1].close)
            time.sleep(3.0)  # so that each program starts alone, for its time to the first frame
        steps = round(60 * minutes / EVERY_S)
        with bar("soaking", steps) as progress:
            for _ in range(steps):
                time.sleep(EVERY_S)
                for program in programs:
                    program.sample()
                progress.forward()
        return [program.stop() for program in programs]


def show(results: Sequence[SoakResult]) -> None:
    last = results[0].samples[-1].at_s / 60
    rows = table("", *(r.name for r in results), "target")
    for minutes in sorted({min(m, last) for m in (1.0, 5.0, last)}):
        rows.add_row(f"RSS after {minutes:.0f} min, MB", *(f"{r.rss_mb(minutes):.0f}" for r in results), "")
    rows.add_row("highest RSS, MB", *(f"{r.highest_mb:.0f}" for r in results), f"{MOST_MB:.0f}")
    rows.add_row("PSS at the end, MB", *(f"{r.samples[-1].pss_mb:.0f}" for r in results), "")
    rows.add_row("rise in the last third, MB", *(f"{r.rise_mb:.1f}" for r in results), f"{RISE_MB:.1f}")
    rows.add_row("first frame after, s", *(f"{r.first_frame_s:.2f}" for r in results), f"{FIRST_S:.2f}")
    rows.add_row("open files", *(_range([s.files for s in r.samples]) for r in results), "")
    rows.add_row("threads", *(_range([s.threads for s in r.samples]) for r in results), "")
    shares = [r.samples[-1].cpu_s / r.samples[-1].at_s for r in results]
    rows.add_row("processor, % of a core", *(f"{100 * share:.0f}" for share in shares), "")
    rows.add_row("vehicles counted", *(str(len(r.run.counted)) for r in results), "")
    rows.add_row("exit code", *(str(r.run.code) for r in results), "0")
    stdout().print(rows)


def _range(values: Sequence[int]) -> str:
    return f"{min(values)}-{max(values)}"


def _missing() -> str:
    """Return a sentence about a program that is not installed; empty when nothing is missing."""
    absent = [name for name in ("mosquitto", "ffmpeg") if not shutil.which(name)]
    return f"needs {absent[0]}: apt install {absent[0]}" if absent else why_not()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", choices=SOURCES, help="one source alone")
    options = parser.parse_args()
    if options.minutes < 1:
        parser.error("--minutes must be at least 1")
    if _missing():
        parser.error(_missing())
    with tempfile.TemporaryDirectory() as folder:
        results = soak(Path(folder), options.minutes, (options.only,) if options.only else SOURCES)
    show(results)
    return 0 if all(result.reaches_targets for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
