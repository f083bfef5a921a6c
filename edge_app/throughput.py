"""How fast the pipeline is beside the bare interpreter, on one machine in one run.

Both take turns, a few times, so that a machine that grows slower or busier meanwhile does so for both; each turn of
the pipeline is set against the turns of the interpreter before and after it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np

from edge_app.counting import LineCounter
from edge_app.detectors.tflite import TfliteDetector
from edge_app.health import readings
from edge_app.offline import decoded
from edge_app.pipeline import Percentiles, Pipeline, StageTimes
from edge_app.preview.video import VideoOut
from edge_app.records import Detections, Frame
from edge_app.sources.recording import Recording
from edge_app.sources.street import Street
from edge_app.tracker import Tracker

CROWD: Final = 30
"""Vehicles in sight of a very full road."""
_CROWD_LOOKS: Final = 400
_CROWD_RATE: Final = 15.0
_CROWD_SIZE: Final = (1280, 720)
_CROWD_PASSES_S: Final = 4.0
_STREET_S: Final = 10.0
_WARM_UP: Final = 10


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was measured.

    pipeline and bare: frames/s and inferences/s, medians of the turns. ratio: median of the turns' own ratios. stages:
    of the frames looked at, "look" being all of them together. crowd: tracking and counting of CROWD
    vehicles together. rss_mb: MB of 10^6 bytes.
    """

    size: tuple[int, int]
    rounds: int
    pipeline: float
    bare: float
    ratio: float
    stages: Mapping[str, Percentiles]
    crowd: Percentiles
    rss_mb: float


def record_street(path: Path) -> Path:
    """A few seconds of the rendered street as a video: rendering would cost more than all that is to be measured."""
    street = Street(seconds=_STREET_S)
    frames = round(_STREET_S * street.status.rate)
    with VideoOut(path, street.status.rate, (street.status.width, street.status.height)) as out:
        for _ in range(frames):
            frame = street.read(0)
            assert frame is not None
            out.write(frame.image)
    return path


def measure(
    source: Recording,
    detector: TfliteDetector,
    pipeline: Pipeline,
    *,
    seconds: float,
    rounds: int,
    stop: threading.Event,
    after: Callable[[Frame], None] | None = None,
) -> Throughput:
    """Takes about `seconds` for `rounds` turns of the pipeline. source: one that loops, closed at the end.

    detector: the one in the pipeline. after: done with each frame once it was counted, timed as "harvest". Ends early,
    with what there is, when `stop` is set.
    """
    with decoded(source, pipeline.times) as following:

        def look() -> None:
            frame = following()
            if frame is not None:
                began = perf_counter()
                pipeline.process(frame)
                counted = perf_counter()
                if after is not None:
                    after(frame)
                    pipeline.times.add("harvest", perf_counter() - counted)
                pipeline.times.add("look", perf_counter() - began)

        for _ in range(_WARM_UP):
            look()
        piped, bare = _turns(look, detector.invoke, rounds, seconds / (2 * rounds + 1), stop)
        rss = readings(Path()).rss_mb
    ratios = [2 * rate / (before + after) for rate, (before, after) in zip(piped, pairwise(bare), strict=True)]
    return Throughput(
        size=(source.status.width, source.status.height),
        rounds=rounds,
        pipeline=median(piped),
        bare=median(bare),
        ratio=median(ratios),
        stages=pipeline.times.percentiles(),
        crowd=crowd(),
        rss_mb=rss,
    )


def _turns(
    ours: Callable[[], None], theirs: Callable[[], None], rounds: int, seconds: float, stop: threading.Event
) -> tuple[list[float], list[float]]:
    """Calls/s of both in each turn of so many seconds; theirs come first and last, so there is one more of them."""
    first = _rate(theirs, seconds, stop)
    rest = [(_rate(ours, seconds, stop), _rate(theirs, seconds, stop)) for _ in range(rounds)]
    return [our for our, _ in rest], [first, *(their for _, their in rest)]


def _rate(once: Callable[[], None], seconds: float, stop: threading.Event) -> float:
    began, calls = perf_counter(), 0
    while not calls or (perf_counter() - began < seconds and not stop.is_set()):
        once()
        calls += 1
    return calls / (perf_counter() - began)


def crowd() -> Percentiles:
    """ms for tracking and counting CROWD vehicles together."""
    tracker, (width, height), times = Tracker(), _CROWD_SIZE, StageTimes()
    counter = LineCounter((width / 2, height), (width / 2, 0), band=0.15)
    for look, detections in enumerate(_crowd()):
        began = perf_counter()
        counter.update(tracker.update(detections, look / _CROWD_RATE), look / _CROWD_RATE)
        times.add("crowd", perf_counter() - began)
    return times.percentiles()["crowd"]


def _crowd() -> Iterator[Detections]:
    """CROWD vehicles, each on a lane of its own, every other one the other way, trembling as detections do."""
    random, (width, height) = np.random.default_rng(1), _CROWD_SIZE
    lane = np.arange(CROWD)
    speed = np.where(lane % 2, 1, -1) * width / _CROWD_PASSES_S
    half = np.array([width / 30, height / CROWD / 2])
    for look in range(_CROWD_LOOKS):
        x = (lane * 389 + speed * look / _CROWD_RATE) % width
        centres = np.stack([x, (lane + 0.5) * height / CROWD], axis=1)
        centres += random.normal(0, 0.02, (CROWD, 2)) * half
        boxes = np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)
        yield Detections(boxes, np.full(CROWD, 0.7, np.float32), np.zeros(CROWD, np.int16))
