"""How fast the pipeline is beside the bare interpreter, on one machine in one run.

Both take turns, a few times, so that a machine that grows slower or busier meanwhile does so for both; each turn of
the pipeline is set against the turns of the interpreter before and after it.

The yardstick is one interpreter on all threads, whose threads share the work on each picture. The pipeline has as many
interpreters on one thread each; what those do side by side, with nothing else to do, is told as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np

from edge_app.counting.line_counter import LineCounter
from edge_app.counting.pipeline import Pipeline
from edge_app.counting.stage_times import Percentiles, StageTimes
from edge_app.counting.tracker import Tracker
from edge_app.detectors.tflite import TfliteDetector
from edge_app.drawing.video_file import VideoOut
from edge_app.offline.replay import decoded, staged
from edge_app.records import Detections, Frame, FrameResult
from edge_app.sources.recording import Recording
from edge_app.sources.street.street import Street
from edge_app.system.readings import readings
from edge_app.system.threads import Latest

CROWD: Final = 30
"""Vehicles in sight of a very full road."""
_CROWD_LOOKS: Final = 400
_CROWD_RATE: Final = 15.0
_CROWD_SIZE: Final = (1280, 720)
_CROWD_PASSES_S: Final = 4.0
_STREET_S: Final = 10.0
_WARM_UP_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was measured.

    pipeline, bare and side_by_side: frames/s and inferences/s, medians of the turns; `bare` of one interpreter on all
    threads, `side_by_side` of the pipeline's own, each on a thread, with nothing else to do. ratio and
    side_by_side_ratio: of the pipeline to each, medians of the turns' own ratios. stages: of the frames looked at,
    "latency" being the way of a frame from the slot to its crossings. crowd: tracking and counting of CROWD vehicles
    together. rss_mb: MB of 10^6 bytes, of the pipeline alone.
    """

    size: tuple[int, int]
    rounds: int
    pipeline: float
    bare: float
    side_by_side: float
    ratio: float
    side_by_side_ratio: float
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
    pipeline: Pipeline,
    detector: TfliteDetector,
    bare: Callable[[], TfliteDetector],
    *,
    seconds: float,
    rounds: int,
    stop: threading.Event,
    after: Callable[[FrameResult], None] | None = None,
) -> Throughput:
    """Takes about `seconds` for `rounds` turns of each. source: one that loops, closed at the end.

    detector: the one in the pipeline. bare: makes one whose only engine runs on as many threads as that one has
    engines. after: done with each frame once it was counted, timed as "harvest". Ends early, with what there is, when
    `stop` is set.
    """
    turn = seconds / (3 * rounds + 1)
    with decoded(source, pipeline.times) as frames:
        _piped(frames, pipeline, _WARM_UP_S, stop)
        rss, yardstick, blank = readings(Path()).rss_mb, bare().engines[0], detector.blank()
        turns = _turns(
            lambda: _piped(frames, pipeline, turn, stop, after),
            lambda: _rate(partial(yardstick.invoke, blank), turn, stop),
            lambda: _side_by_side(detector, turn, stop),
            rounds,
        )
    return Throughput(
        size=(source.status.width, source.status.height),
        rounds=rounds,
        pipeline=median(turns.pipeline),
        bare=median(turns.bare),
        side_by_side=median(turns.side_by_side),
        ratio=median(2 * ours / sum(around) for ours, around in zip(turns.pipeline, pairwise(turns.bare), strict=True)),
        side_by_side_ratio=median(a / b for a, b in zip(turns.pipeline, turns.side_by_side, strict=True)),
        stages=pipeline.times.percentiles(),
        crowd=crowd(),
        rss_mb=rss,
    )


@dataclass(frozen=True, slots=True)
class _Turns:
    """Calls/s in each turn; `bare` comes first and last, so there is one more of it."""

    pipeline: list[float]
    bare: list[float]
    side_by_side: list[float]


def _turns(
    ours: Callable[[], float], bare: Callable[[], float], side_by_side: Callable[[], float], rounds: int
) -> _Turns:
    turns = _Turns([], [bare()], [])
    for _ in range(rounds):
        turns.pipeline.append(ours())
        turns.bare.append(bare())
        turns.side_by_side.append(side_by_side())
    return turns


def _piped(
    frames: Latest[Frame],
    pipeline: Pipeline,
    seconds: float,
    stop: threading.Event,
    after: Callable[[FrameResult], None] | None = None,
) -> float:
    """Frames/s, as `count` goes through a recording; as many frames are under way at the end as at the beginning."""

    def once() -> None:
        result = following()
        if after is not None and result is not None:
            began = perf_counter()
            after(result)
            pipeline.times.add("harvest", perf_counter() - began)

    with staged(frames, pipeline) as following:
        following()
        return _rate(once, seconds, stop)


def _side_by_side(detector: TfliteDetector, seconds: float, stop: threading.Event) -> float:
    """Inferences/s of all engines together, each in a thread."""
    blank = detector.blank()
    with ThreadPoolExecutor(len(detector.engines)) as pool:
        each = [pool.submit(_rate, partial(engine.invoke, blank), seconds, stop) for engine in detector.engines]
        return sum(rate.result() for rate in each)


def _rate(once: Callable[[], object], seconds: float, stop: threading.Event) -> float:
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
