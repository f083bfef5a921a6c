"""Counting a recording: every frame in order, none dropped, the same input gives the same events.

Decoding runs ahead in a thread of its own, one frame at a time, and the rest in the same stages as in service.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.counting.pipeline import Pipeline
from edge_app.counting.running_totals import RunningTotals
from edge_app.counting.stage_times import StageTimes
from edge_app.counting.stages import Stages
from edge_app.detectors.manifest import Manifest
from edge_app.errors import SourceEnded
from edge_app.records import Counts, Crossing, Frame, FrameResult, Line
from edge_app.sources.recording import Recording
from edge_app.system.threads import Latest, Worker, join_all

_WAIT_S = 0.5
_END_S = 5.0


@dataclass(frozen=True, slots=True)
class Replay:
    """What a recording gave: its crossings in the order in which they became certain, and how fast it went."""

    crossings: tuple[Crossing, ...]
    frames: int
    size: tuple[int, int]
    fps: float
    wall_s: float
    warning: str


@contextmanager
def decoded(source: Recording, times: StageTimes) -> Iterator[Latest[Frame]]:
    """A slot with one frame after the other, finished at the end; what decoding raises comes out of the context."""
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
    """A function that gives the next frame that was counted, None at the end; raises what counting raises.

    At the end of the context frames that are still under way are left, and the engines rest.
    """
    faults: list[BaseException] = []
    stages = Stages(frames, pipeline, lambda _name, fault: faults.append(fault))

    def following() -> FrameResult | None:
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
        yield following
    finally:
        stages.close()
        join_all(stages.workers, _END_S)


def count_recording(
    source: Recording,
    pipeline: Pipeline,
    stop: threading.Event,
    on_frame: Callable[[FrameResult], None] = lambda _result: None,
) -> Replay:
    """Take a recording through a pipeline to its end, or until `stop`, and close it.

    on_frame: called with the result of every frame, in order. Raises SourceError and DetectorError.
    """
    crossings: list[Crossing] = []
    frames, size = 0, (0, 0)
    began = time.perf_counter()
    with decoded(source, pipeline.times) as slot, staged(slot, pipeline) as following:
        while not stop.is_set() and (result := following()) is not None:
            crossings += result.crossings
            frames, size = frames + 1, result.frame.size
            on_frame(result)
        warning = source.status.detail
    return Replay(tuple(crossings), frames, size, source.rate, time.perf_counter() - began, warning)


def totals(crossings: Sequence[Crossing], lines: Sequence[Line], classes: Sequence[str]) -> Mapping[str, Counts]:
    """Return line -> class -> direction -> number, zeros included."""
    made = RunningTotals(lines, classes)
    made.add(crossings)
    return made.by_line


def result(
    clip: Path, replay: Replay, lines: Sequence[Line], classes: Sequence[str], model: Manifest, times: StageTimes
) -> dict[str, Any]:
    """RESULT.json of `count`, as CONTRACTS.md has it, schema edge-app/count-result/1."""
    return {
        "schema": "edge-app/count-result/1",
        "clip": clip.name,
        "width": replay.size[0],
        "height": replay.size[1],
        "fps": replay.fps,
        "frames": replay.frames,
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
