"""Measures the program on a 720p RTSP stream and on a looping file: python -m tests.trials.soak --minutes 10.

Both run side by side, each with the default settings and a real broker. Exit 1 when a target is missed: memory, whether
it rises, and the time to the first frame.
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
from tests.support.invariants import Life
from tests.support.program import Program
from tests.support.rtsp_server import RtspServer, why_not
from tests.support.videos import ffmpeg

EVERY_S = 10.0
MOST_MB, RISE_MB, FIRST_S = 170.0, 2.0, 2.0
"""Targets: resident memory, how much of it may come in the last third, and the first frame after the start."""
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
    """at_s: since the start. cpu_s: processor time used so far."""

    at_s: float
    rss_mb: float
    files: int
    threads: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Soaked:
    """What was measured of one program."""

    name: str
    life: Life
    samples: Sequence[Sample]

    def rss_mb(self, minutes: float) -> float:
        """As it was then, or at the end of a shorter run."""
        return min(self.samples, key=lambda sample: abs(sample.at_s - 60 * minutes)).rss_mb

    @property
    def highest_mb(self) -> float:
        return max(sample.rss_mb for sample in self.samples)

    @property
    def rise_mb(self) -> float:
        """From the second third to the last; the first fills caches. Medians: what is in flight comes and goes."""
        rss = [sample.rss_mb for sample in self.samples]
        third = len(rss) // 3
        return median(rss[-third:]) - median(rss[-2 * third : -third])

    @property
    def first_frame_s(self) -> float:
        return math.inf if self.life.after_s is None else self.life.after_s

    @property
    def good(self) -> bool:
        small = self.highest_mb <= MOST_MB and self.rise_mb <= RISE_MB
        return small and self.first_frame_s <= FIRST_S and self.life.code == 0


class Patient:
    """`edge-app run` with the default settings on one source, under observation."""

    def __init__(self, folder: Path, name: str, source: str, port: int) -> None:
        self._name, self._program = name, Program(folder)
        self._program.start(CONFIG.format(name=name, source=source, port=port))
        self._began = time.monotonic()
        self._samples: list[Sample] = []

    def sample(self) -> None:
        p = self._program.process
        with p.oneshot():
            rss, cpu = p.memory_info().rss / 1e6, sum(p.cpu_times()[:2])
            self._samples.append(Sample(time.monotonic() - self._began, rss, p.num_fds(), p.num_threads(), cpu))

    def stop(self) -> Soaked:
        self._program.signal(signal.SIGTERM)
        while not self._program.has_ended():
            time.sleep(0.1)
        return Soaked(self._name, self._program.lives[0], self._samples)

    def close(self) -> None:
        self._program.close()


def street_video(folder: Path, seconds: float = 30.0) -> Path:
    """A rendered street, 1280x720 at 15 frames/s, as H.264."""
    street = Street(seconds=seconds)
    raw = folder / "raw.mp4"
    writer = cv2.VideoWriter(str(raw), cv2.VideoWriter.fourcc(*"mp4v"), 15.0, (1280, 720))
    for _ in range(round(15 * seconds)):
        frame = street.read(1.0)
        assert frame is not None
        writer.write(frame.image)
    writer.release()
    return ffmpeg(raw, "-c:v", "libx264", "-preset", "ultrafast", to=folder / "street.mp4")


def soak(folder: Path, minutes: float) -> list[Soaked]:
    """Runs the program on both sources for so long."""
    video = street_video(folder)
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder / "broker"))
        camera = stack.enter_context(RtspServer(width=1280, height=720, rate=15))
        sources = {
            "stream": f'{{ kind = "stream", url = "{camera.url}" }}',
            "file": f'{{ kind = "file", path = "{video}", loop = true }}',
        }
        patients = []
        for name, source in sources.items():
            patients.append(Patient(folder / name, name, source, broker.port))
            stack.callback(patients[-1].close)
            time.sleep(3.0)  # the time to the first frame is that of one program alone
        steps = round(60 * minutes / EVERY_S)
        with bar("soaking", steps) as progress:
            for _ in range(steps):
                time.sleep(EVERY_S)
                for patient in patients:
                    patient.sample()
                progress.forward()
        return [patient.stop() for patient in patients]


def show(runs: Sequence[Soaked]) -> None:
    last = runs[0].samples[-1].at_s / 60
    result = table("", *(run.name for run in runs), "target")
    for minutes in sorted({min(m, last) for m in (1.0, 5.0, last)}):
        result.add_row(f"RSS after {minutes:.0f} min, MB", *(f"{run.rss_mb(minutes):.0f}" for run in runs), "")
    result.add_row("highest RSS, MB", *(f"{run.highest_mb:.0f}" for run in runs), f"{MOST_MB:.0f}")
    result.add_row("rise in the last third, MB", *(f"{run.rise_mb:.1f}" for run in runs), f"{RISE_MB:.1f}")
    result.add_row("first frame after, s", *(f"{run.first_frame_s:.2f}" for run in runs), f"{FIRST_S:.2f}")
    result.add_row("open files", *(_range([s.files for s in run.samples]) for run in runs), "")
    result.add_row("threads", *(_range([s.threads for s in run.samples]) for run in runs), "")
    shares = [run.samples[-1].cpu_s / run.samples[-1].at_s for run in runs]
    result.add_row("processor, % of a core", *(f"{100 * share:.0f}" for share in shares), "")
    result.add_row("vehicles counted", *(str(len(run.life.counted)) for run in runs), "")
    result.add_row("exit code", *(str(run.life.code) for run in runs), "0")
    stdout().print(result)


def _range(values: Sequence[int]) -> str:
    return f"{min(values)}-{max(values)}"


def _missing() -> str:
    """What must be installed first; empty when nothing is missing."""
    absent = [name for name in ("mosquitto", "ffmpeg") if not shutil.which(name)]
    return f"needs {absent[0]}: apt install {absent[0]}" if absent else why_not()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    if options.minutes < 1:
        parser.error("--minutes must be at least 1")
    if _missing():
        parser.error(_missing())
    with tempfile.TemporaryDirectory() as folder:
        runs = soak(Path(folder), options.minutes)
    show(runs)
    return 0 if all(run.good for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
