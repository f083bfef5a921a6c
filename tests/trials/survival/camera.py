"""A real RTSP camera that vanishes, hangs, or comes back with another resolution, fifty times at random moments."""

from __future__ import annotations

import random
import time
from contextlib import closing
from typing import Any, Final

from edge_app.sources import open_source
from tests.sources.test_camera_faults import Road
from tests.support.rtsp_server import RtspServer, why_not
from tests.trials.survival.rows import Found, Row, Trial, failing

RESUMES_S: Final = 10.0
COVERAGE: Final = 0.02
_SEED: Final = 2026
_SIZES: Final = ((320, 176), (640, 352), (480, 272))
_KINDS: Final = ("disconnect", "freeze", "resolution")
_GIVE_UP_S: Final = 60.0
_QUICK: Final[dict[str, Any]] = {"open_timeout_s": 2.0, "read_timeout_s": 0.4, "retry_s": (0.1, 0.3)}


class Camera:
    """The server on one port, and its faults."""

    def __init__(self) -> None:
        self._size = 0
        self._server = RtspServer()
        self.url = self._server.url

    def fail(self, kind: str) -> None:
        self._server.freeze() if kind == "freeze" else self._server.close()

    def come_back(self, kind: str) -> None:
        if kind == "freeze":
            self._server.thaw()
            return
        self._size = (self._size + (kind == "resolution")) % len(_SIZES)
        width, height = _SIZES[self._size]
        self._server = RtspServer(port=self._server.port, width=width, height=height)

    def close(self) -> None:
        self._server.close()


def run(trial: Trial) -> Found:
    """In real time, with the product's own time-outs in the long form. Raises RuntimeError without an RTSP server."""
    if why_not():
        raise RuntimeError(why_not())
    faults, chance = 3 if trial.short else 50, random.Random(_SEED)
    slowest = observed = true = whole = 0.0
    lost = 0
    with closing(Camera()) as camera, closing(open_source("stream", url=camera.url, **_options(trial))) as source:
        road = Road(source, time.time)
        _resume(road, 0)
        for number in range(faults):
            kind, up = _KINDS[number % 3], chance.uniform(2.0, 5.0)
            # Longer than the gap that counts as observed by definition (intervals.py).
            down = chance.uniform(2.5, 3.5 if trial.short else 9.0)
            began, before = time.monotonic(), _observed(road)
            road.watch(up)
            failed, connection = time.monotonic(), source.status.reconnects
            camera.fail(kind)
            road.watch(down)
            camera.come_back(kind)
            took = _resume(road, connection + (kind != "freeze"))
            slowest, lost = max(slowest, took), lost + (took >= _GIVE_UP_S)
            true += failed - began
            observed += _observed(road) - before
            whole += time.monotonic() - began
            if (number + 1) % 10 == 0:
                trial.tell(f"{number + 1} of {faults} faults")
    error = abs(observed - true) / whole
    broken = failing(
        (lost == 0, f"{lost} times it did not come back"),
        (slowest <= RESUMES_S, f"it took {slowest:.1f} s to come back"),
        (error <= COVERAGE or trial.short, f"coverage is off by {error:.1%}"),
    )
    return Found(
        f"{faults} faults in {whole:.0f} s: back after {slowest:.1f} s at most, coverage {observed / whole:.1%} told, "
        f"{true / whole:.1%} true",
        broken,
    )


def _options(trial: Trial) -> dict[str, Any]:
    return _QUICK if trial.short else {}


def _observed(road: Road) -> float:
    return sum(interval.observed_s for interval in road.intervals.open)


def _resume(road: Road, connection: int) -> float:
    """Seconds until a frame has come of the connection with this number or a later one."""
    began = time.monotonic()
    while not road.step() or road.source.status.reconnects < connection:
        if time.monotonic() - began > _GIVE_UP_S:
            break
    return time.monotonic() - began


ROW = Row(
    "camera",
    "camera: 50 disconnects, freezes, resolution changes",
    "resumes within 10 s of the camera, coverage true to 2 %",
    run,
)
