"""Count a recording: every frame in order, none dropped, so that the same input gives the same events.

Decoding runs ahead in its own thread, one frame at a time; the rest runs in the same stages as in the service.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from edge_app.counting.pipeline import Pipeline
from edge_app.counting.running_totals import RunningTotals
from edge_app.counting.stage_times import StageTimes
from edge_app.counting.stages import Stages
from edge_app.detectors.manifest import Manifest
from edge_app.errors import SourceEnded
from edge_app.measures.speed_meter import Measured
from edge_app.measures.speed_sums import by_line
from edge_app.offline.measured import MeasuredBin, speed_fields
from edge_app.records import Counts, Crossing, Frame, FrameResult, Line
from edge_app.sources.recording import Recording
from edge_app.sources.recording_series import Part, RecordingSeries
from edge_app.system.names import as_utf8
from edge_app.system.threads import Latest, Worker, join_all

_WAIT_S = 0.5
"""Longest wait for a frame or a result before the end is checked, s."""
_END_S = 5.0
"""Longest wait for the threads to end, s."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Result of counting a recording.

    crossings: in the order in which they were confirmed. still: number of frames without inference.
    size: width and height, px. fps: of the recording.
    wall_s: time that counting took, s. warning: status detail of the source, empty when all is well.
    """

    crossings: tuple[Crossing, ...]
    frames: int
    still: int
    size: tuple[int, int]
    fps: float
    wall_s: float
    warning: str


@contextmanager
def decoded(source: Recording | RecordingSeries, times: StageTimes) -> Iterator[Latest[Frame]]:
    """Yield a slot that receives one frame after the other and is finished at the end of the recording.

    times: receives the time of each frame as "decode". An exception of decoding is raised when the context ends.
    """
    slot: Latest[Frame] = Latest(lossless=True)
    faults: list[BaseException] = []

    def run(stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                began = time.perf_counter()
                frame = source.read(_WAIT_S)
                times.add("decode", time.perf_counter() - began)
                if frame is not None:
                    slot.put(frame)
        except SourceEnded:
            pass
        finally:
            slot.close()

    worker = Worker("decode", run, lambda _name, fault: faults.append(fault))
    worker.start()
    try:
        yield slot
    finally:
        source.close()
        slot.close()
        join_all([worker], _END_S)
    if faults:
        raise faults[0]


@contextmanager
def staged(frames: Latest[Frame], pipeline: Pipeline) -> Iterator[Callable[[], FrameResult | None]]:
    """Yield a function that returns the result of the next frame, None at the end, and raises a fault of counting.

    When the context ends, the engines stop and frames that are still in progress are left.
    """
    faults: list[BaseException] = []
    stages = Stages(frames, pipeline, lambda _name, fault: faults.append(fault), load_all=True)

    def next_result() -> FrameResult | None:
        while not stages.finished and not faults:
            result = stages.next(_WAIT_S)
            if result is not None:
                return result
        if faults:
            raise faults[0]
        return None

    for worker in stages.workers:
        worker.start()
    try:
        yield next_result
    finally:
        stages.close()
        join_all(stages.workers, _END_S)


def count_recording(
    source: Recording | RecordingSeries,
    pipeline: Pipeline,
    stop: threading.Event,
    on_frame: Callable[[FrameResult], None] = lambda _result: None,
) -> Replay:
    """Take a recording, or a series of them, through a pipeline to its end, or until `stop`, and close it.

    on_frame: called with the result of every frame, in order.
    Raises SourceError, DetectorError: when reading or detecting fails.
    """
    crossings: list[Crossing] = []
    frames, still, size = 0, 0, (0, 0)
    began = time.perf_counter()
    with decoded(source, pipeline.times) as slot, staged(slot, pipeline) as next_result:
        while not stop.is_set() and (result := next_result()) is not None:
            crossings += result.crossings
            frames, still, size = frames + 1, still + result.still, result.frame.size
            on_frame(result)
        warning = source.status.detail
    return Replay(tuple(crossings), frames, still, size, source.rate, time.perf_counter() - began, warning)


def totals(crossings: Sequence[Crossing], lines: Sequence[Line], classes: Sequence[str]) -> Mapping[str, Counts]:
    """Return line -> class -> direction -> number, zeros included."""
    running = RunningTotals(lines, classes)
    running.add(crossings)
    return running.by_line


def result(
    clip: Path, replay: Replay, lines: Sequence[Line], classes: Sequence[str], model: Manifest, times: StageTimes
) -> dict[str, Any]:
    """Return the content of the result file of `count`, schema edge-app/count-result/1."""
    return {
        "schema": "edge-app/count-result/1",
        "clip": as_utf8(clip.name),
        "width": replay.size[0],
        "height": replay.size[1],
        "fps": replay.fps,
        "frames": replay.frames,
        "frames_still": replay.still,
        "model": {"file": model.file, "sha256": model.sha256, "input": [model.input.width, model.input.height]},
        "lines": [{"id": line.id, "start": line.start, "end": line.end} for line in lines],
        "events": [
            {
                "frame": c.frame,
                "time_s": round(c.at, 3),
                "line": c.line,
                "class": c.label,
                "direction": c.direction,
                "track": c.track_id,
                "score": round(c.score, 3),
            }
            for c in sorted(replay.crossings, key=lambda c: (c.frame, c.line, c.track_id))
        ],
        "totals": totals(replay.crossings, lines, classes),
        "timing": {
            "wall_s": round(replay.wall_s, 3),
            "frames_per_s": round(replay.frames / replay.wall_s, 2) if replay.wall_s else 0.0,
            "stages_ms": {
                stage: {"p50": round(p.p50, 3), "p95": round(p.p95, 3)} for stage, p in times.percentiles().items()
            },
        },
    }


def with_measures(
    found: dict[str, Any], measured: Sequence[Measured], bins: Sequence[MeasuredBin], *, speeds: bool, lanes: bool
) -> dict[str, Any]:
    """Return the content of a result file with what was measured: of each event, null where not known, and in bins.

    speeds, lanes: True where they are measured.
    """
    known = {(m.crossing.line, m.crossing.track_id, m.crossing.frame): m for m in measured}

    def told(event: dict[str, Any]) -> dict[str, Any]:
        one = known.get((event["line"], event["track"], event["frame"]))
        if speeds:
            speed = one.speed if one else None
            kmh, error = (round(speed.kmh, 1), round(speed.error_kmh, 1)) if speed else (None, None)
            event = {**event, "speed_kmh": kmh, "speed_error_kmh": error}
        return {**event, "lane": one.lane if one else None} if lanes else event

    sums = {line: speed_fields(classes) for line, classes in by_line(measured).items()}
    found = {**found, "events": [told(event) for event in found["events"]]}
    return {**found, **({"speed": sums} if speeds else {}), "measures": [one.fields() for one in bins]}


def with_times(found: dict[str, Any], start: datetime | None, parts: Sequence[Part]) -> dict[str, Any]:
    """Return the content of a result file with the time of day of its events, and with the clips of a series.

    start: time of the first frame; without it events get none, and clips start at s from the first frame.
    parts: recordings of a series; empty for a single one.
    """

    def at(seconds: float) -> str | float:
        if start is None:
            return round(seconds, 3)
        return (start + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")

    if start is not None:
        found = {**found, "events": [{**event, "at": at(event["time_s"])} for event in found["events"]]}
    clips = [{"clip": as_utf8(p.path.name), "frames": p.frames, "fps": p.fps, "start": at(p.start_s)} for p in parts]
    return {**found, "clips": clips} if clips else found
