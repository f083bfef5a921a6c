"""Measure the speed of the pipeline beside the bare interpreter, on one machine in one run.

Both take turns, several times, so that a machine that gets slower or busier meanwhile does so for both; each turn of
the pipeline is compared with the turns of the interpreter before and after it.

The reference is one interpreter on all threads, which share the work on each picture. The pipeline has as many
interpreters with one thread each; their rate side by side, with no other work, is measured too.
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
from edge_app.counting.motion import Motion, squares
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
"""Vehicles in sight on a very full road."""
_CROWD_FRAMES: Final = 400
_CROWD_RATE: Final = 15.0
"""Frames per second."""
_CROWD_SIZE: Final = (1280, 720)
_CROWD_PASSES_S: Final = 4.0
"""Time for which a vehicle is in the picture, s."""
STREET_S: Final = 10.0
"""Length of the recorded street, s."""
_WARM_UP_S: Final = 0.2
_STILL_FRAMES: Final = 200
_PART_FRAMES: Final = 20


@dataclass(frozen=True, slots=True)
class Throughput:
    """Measured rates and times.

    size: width and height of the video, px. rounds: turns of each.
    pipeline: frames/s; bare: inferences/s of one interpreter on all threads; side_by_side: inferences/s of the
    pipeline's own interpreters with one thread each and no other work. All three are medians of the turns.
    ratio, side_by_side_ratio: of the pipeline to each of the others, medians of the ratios of the turns.
    stages: times of the frames; "latency" is from the slot to the crossings.
    crowd: times of tracking and counting CROWD vehicles together.
    still: times of a frame in which nothing moves, after decoding.
    part: times of a second look at one part of a frame.
    rss_mb: resident memory of the pipeline alone, MB of 10^6 bytes.
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
    still: Percentiles
    part: Percentiles
    rss_mb: float


def record_street(path: Path) -> Path:
    """Write a few seconds of the rendered street as a video and return its path.

    Rendering during the measurement would take longer than everything that is measured.
    """
    street = Street(seconds=STREET_S)
    frames = round(STREET_S * street.status.rate)
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
    """Measure pipeline and interpreters in turns and return rates and times.

    source: loops, and is closed at the end. pipeline: without motion, so that every frame needs an inference.
    detector: of the pipeline.
    bare: builds a detector whose only engine has as many threads as `detector` has engines.
    seconds: about the time of all turns. rounds: turns of each.
    stop: ends the measurement early with the turns so far when it is set.
    after: called with each result, timed as "harvest".
    """
    turn = seconds / (3 * rounds + 1)
    with decoded(source, pipeline.times) as frames:
        _pipeline_rate(frames, pipeline, _WARM_UP_S, stop)
        rss, reference, blank = readings(Path()).rss_mb or 0.0, bare().engines[0], detector.blank()
        turns = _turns(
            lambda: _pipeline_rate(frames, pipeline, turn, stop, after),
            lambda: _rate(partial(reference.invoke, blank), turn, stop),
            lambda: _side_by_side_rate(detector, turn, stop),
            rounds,
        )
    return Throughput(
        size=(source.status.width, source.status.height),
        rounds=rounds,
        pipeline=median(turns.pipeline),
        bare=median(turns.bare),
        side_by_side=median(turns.side_by_side),
        ratio=median(2 * rate / sum(around) for rate, around in zip(turns.pipeline, pairwise(turns.bare), strict=True)),
        side_by_side_ratio=median(a / b for a, b in zip(turns.pipeline, turns.side_by_side, strict=True)),
        stages=pipeline.times.percentiles(),
        crowd=crowd(),
        still=still((source.status.width, source.status.height)),
        part=part((source.status.width, source.status.height), detector),
        rss_mb=rss,
    )


@dataclass(frozen=True, slots=True)
class _Turns:
    """Rates of each turn, calls/s; `bare` has one turn more, because it is first and last."""

    pipeline: list[float]
    bare: list[float]
    side_by_side: list[float]


def _turns(
    pipeline: Callable[[], float], bare: Callable[[], float], side_by_side: Callable[[], float], rounds: int
) -> _Turns:
    turns = _Turns([], [bare()], [])
    for _ in range(rounds):
        turns.pipeline.append(pipeline())
        turns.bare.append(bare())
        turns.side_by_side.append(side_by_side())
    return turns


def _pipeline_rate(
    frames: Latest[Frame],
    pipeline: Pipeline,
    seconds: float,
    stop: threading.Event,
    after: Callable[[FrameResult], None] | None = None,
) -> float:
    """Return frames/s of counting a recording.

    As many frames are in progress at the end as at the beginning.
    """

    def count_one() -> None:
        result = next_result()
        if after is not None and result is not None:
            began = perf_counter()
            after(result)
            pipeline.times.add("harvest", perf_counter() - began)

    with staged(frames, pipeline) as next_result:
        next_result()
        return _rate(count_one, seconds, stop)


def _side_by_side_rate(detector: TfliteDetector, seconds: float, stop: threading.Event) -> float:
    """Return inferences/s of all engines together, each in a thread."""
    blank = detector.blank()
    with ThreadPoolExecutor(len(detector.engines)) as pool:
        each = [pool.submit(_rate, partial(engine.invoke, blank), seconds, stop) for engine in detector.engines]
        return sum(rate.result() for rate in each)


def _rate(call: Callable[[], object], seconds: float, stop: threading.Event) -> float:
    """Return calls/s; at least one call is made."""
    began, calls = perf_counter(), 0
    while not calls or (perf_counter() - began < seconds and not stop.is_set()):
        call()
        calls += 1
    return calls / (perf_counter() - began)


def crowd() -> Percentiles:
    """Return the times, ms, of tracking and counting CROWD vehicles together."""
    tracker, (width, height), times = Tracker(), _CROWD_SIZE, StageTimes()
    counter = LineCounter((width / 2, height), (width / 2, 0), band=0.15)
    for index, detections in enumerate(_crowd_detections()):
        began = perf_counter()
        counter.update(tracker.update(detections, index / _CROWD_RATE), index / _CROWD_RATE)
        times.add("crowd", perf_counter() - began)
    return times.percentiles()["crowd"]


def still(size: tuple[int, int]) -> Percentiles:
    """Return the times, ms, of looking for motion in frames of this width and height, px."""
    random, motion, times = np.random.default_rng(1), Motion(), StageTimes()
    image = random.integers(0, 255, (size[1], size[0], 3), np.uint8)
    for index in range(_STILL_FRAMES):
        began = perf_counter()
        motion.learn(motion.look(squares(image), index / _CROWD_RATE), np.empty((0, 4), np.float32))
        times.add("still", perf_counter() - began)
    return times.percentiles()["still"]


def part(size: tuple[int, int], detector: TfliteDetector) -> Percentiles:
    """Return the times, ms, of one engine for a part, half as wide and high, of frames of this width and height, px."""
    image, times = np.full((size[1] // 2, size[0] // 2, 3), 128, np.uint8), StageTimes()
    for _ in range(_PART_FRAMES):
        began = perf_counter()
        detector.detect(image)
        times.add("part", perf_counter() - began)
    return times.percentiles()["part"]


def _crowd_detections() -> Iterator[Detections]:
    """Yield CROWD vehicles, each in its own lane, every second one in the opposite direction, with trembling boxes."""
    random, (width, height) = np.random.default_rng(1), _CROWD_SIZE
    lane = np.arange(CROWD)
    speed = np.where(lane % 2, 1, -1) * width / _CROWD_PASSES_S
    half = np.array([width / 30, height / CROWD / 2])
    for index in range(_CROWD_FRAMES):
        x = (lane * 389 + speed * index / _CROWD_RATE) % width
        centres = np.stack([x, (lane + 0.5) * height / CROWD], axis=1)
        centres += random.normal(0, 0.02, (CROWD, 2)) * half
        boxes = np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)
        yield Detections(boxes, np.full(CROWD, 0.7, np.float32), np.zeros(CROWD, np.int16))
