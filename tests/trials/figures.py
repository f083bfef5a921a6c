"""Measure what the figures of each quarter of an hour cost: `python -m tests.trials.figures`.

Half an hour of frames, 15 a second at 1280x720, with eight vehicles that drive, a crossing every two seconds, a look at
the program every minute and what is written to disk. Told: processor time of this process, as a share of one core, and
with all the rest that a review draws.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from edge_app.drawing.scene import Privacy
from edge_app.drift.seen import QuarterCollector
from edge_app.harvest.reviews import ReviewDraw
from edge_app.monitoring.figure_history import FigureHistory
from edge_app.monitoring.figures import FigureReport, Sample
from edge_app.records import Crossing, Frame, FrameResult
from edge_app.system.readings import readings
from tests.support.harvest_cases import CAR, detections, tracks

_BEGIN: Final = 1_795_946_400.0
_RATE: Final = 15
_SECONDS: Final = 1800
_VEHICLES: Final = 8


def frames() -> list[FrameResult]:
    """Return a minute of frames, whose times are set anew for each minute."""
    picture = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)
    found = []
    for index in range(60 * _RATE):
        places = [(100.0 + (index * 4 + 140 * n) % 1000, 100.0 + 60 * n) for n in range(_VEHICLES)]
        known = tracks(*((index // 200 * 10 + n, place, True) for n, place in enumerate(places)))
        known = replace(known, velocities=np.full((_VEHICLES, 2), 60.0, np.float32))
        crossing = Crossing(0.0, index, index // 200 * 10, "car", "main", "left_to_right", 0.8, index % 120 == 0)
        found.append(
            FrameResult(
                Frame(picture, index, 0.0, 0.0),
                detections(*((place, 0.8, CAR) for place in places)),
                known,
                (crossing,) if index % 30 == 0 else (),
                moving=0.02,
            )
        )
    return found


def _at(one: FrameResult, second: float) -> FrameResult:
    return replace(one, frame=replace(one.frame, captured_at=_BEGIN + second, monotonic=second))


def main() -> None:
    minute, now = frames(), _BEGIN
    with tempfile.TemporaryDirectory() as folder:
        report = FigureReport(FigureHistory(Path(folder) / "figures"), lambda: now)
        collector, spent, drawing = QuarterCollector(report.take), 0.0, 0.0
        draw = ReviewDraw(300.0, Privacy(pixelate=True), lambda _: None)
        for second in range(0, _SECONDS, 60):
            timed = [_at(one, second + n / _RATE) for n, one in enumerate(minute)]
            now = _BEGIN + second + 59
            began = time.process_time()
            for one in timed:
                collector.observe(one)
            report.sample(Sample(900, 0, {"detect": (17.0, 20.0)}, 0, readings(Path(folder))))
            spent += time.process_time() - began
            began = time.process_time()
            for one in timed:
                draw.observe(one)
            drawing += time.process_time() - began
        kept = sum(file.stat().st_size for file in FigureHistory(Path(folder) / "figures").files())
    assert report.newest is not None
    print(f"figures: {spent / _SECONDS:.3%} of a core, {spent / _SECONDS / _RATE * 1e3:.3f} ms a frame")
    print(f"reviews every 5 minutes: {drawing / _SECONDS:.3%} of a core")
    print(f"on disk: {kept:,} bytes in half an hour; health is longer by {len(report.newest.model_dump_json()):,}")


if __name__ == "__main__":
    main()
