"""Break a real RTSP camera fifty times at random: it disconnects, freezes, or returns with another resolution."""

from __future__ import annotations

import random
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from edge_app.sources import open_source
from tests.support.camera_intervals import CameraIntervals
from tests.support.rtsp_server import RtspServer, why_not
from tests.trials.survival.rows import Outcome, Row, Trial, failures

RESUMES_S: Final = 10.0
COVERAGE: Final = 0.02
"""Largest error of the coverage, as a share."""
_SEED: Final = 2026
_SIZES: Final = ((320, 176), (640, 352), (480, 272))
_KINDS: Final = ("disconnect", "freeze", "resolution")
_GIVE_UP_S: Final = 60.0
_QUICK: Final[dict[str, Any]] = {"open_timeout_s": 2.0, "read_timeout_s": 0.4, "retry_s": (0.1, 0.3)}


class Camera:
    """RTSP server on one port, with its faults."""

    def __init__(self) -> None:
        self._size = 0
        self._server = RtspServer()
        self.url = self._server.url

    def fail(self, kind: str) -> None:
        self._server.freeze() if kind == "freeze" else self._server.close()

    def recover(self, kind: str) -> None:
        if kind == "freeze":
            self._server.thaw()
            return
        self._size = (self._size + (kind == "resolution")) % len(_SIZES)
        width, height = _SIZES[self._size]
        self._server = RtspServer(port=self._server.port, width=width, height=height)

    def close(self) -> None:
        self._server.close()


@dataclass(slots=True)
class _Times:
    """Seconds of all faults together, and the longest recovery. up_s: time in which the camera worked."""

    total_s: float = 0.0
    up_s: float = 0.0
    observed_s: float = 0.0
    slowest_s: float = 0.0
    not_back: int = 0


def run(trial: Trial) -> Outcome:
    """Break the camera in real time, in the long form with the product's own time-outs.

    Raises RuntimeError: without an RTSP server.
    """
    if why_not():
        raise RuntimeError(why_not())
    faults, chance, times = 3 if trial.short else 50, random.Random(_SEED), _Times()
    options = _QUICK if trial.short else {}
    with closing(Camera()) as camera, closing(open_source("stream", url=camera.url, **options)) as source:
        watched = CameraIntervals(source, time.time)
        watched.wait_for_connection(0, _GIVE_UP_S)
        for number in range(faults):
            # Down for longer than the gap that counts as observed by definition (intervals.py).
            up, down = chance.uniform(2.0, 5.0), chance.uniform(2.5, 3.5 if trial.short else 9.0)
            _break(camera, watched, _KINDS[number % 3], up, down, times)
            if (number + 1) % 10 == 0:
                trial.report(f"{number + 1} of {faults} faults")
    error = abs(times.observed_s - times.up_s) / times.total_s
    broken = failures(
        (times.not_back == 0, f"{times.not_back} times it did not come back"),
        (times.slowest_s <= RESUMES_S, f"it took {times.slowest_s:.1f} s to come back"),
        (error <= COVERAGE or trial.short, f"coverage is off by {error:.1%}"),
    )
    return Outcome(
        f"{faults} faults in {times.total_s:.0f} s: back after {times.slowest_s:.1f} s at most, coverage reported "
        f"{times.observed_s / times.total_s:.1%}, true {times.up_s / times.total_s:.1%}",
        broken,
    )


def _break(camera: Camera, watched: CameraIntervals, kind: str, up: float, down: float, times: _Times) -> None:
    """Let the camera work for `up` s, fail for `down` s and recover; add the times."""
    began, before = time.monotonic(), watched.observed_s
    watched.run(up)
    failed, reconnects = time.monotonic(), watched.source.status.reconnects
    camera.fail(kind)
    watched.run(down)
    camera.recover(kind)
    took = watched.wait_for_connection(reconnects + (kind != "freeze"), _GIVE_UP_S)
    times.slowest_s, times.not_back = max(times.slowest_s, took), times.not_back + (took >= _GIVE_UP_S)
    times.up_s += failed - began
    times.observed_s += watched.observed_s - before
    times.total_s += time.monotonic() - began


ROW = Row(
    "camera",
    "camera: 50 disconnects, freezes, resolution changes",
    "counts again within 10 s after the camera is back, coverage correct to 2 %",
    run,
)
