"""Count clips and the rendered street at ever fewer frames/s, and see that the coverage tells it.

`python -m tests.trials.looks TRUTH.json ... [--street MINUTES]`; clips are beside their truth files. Each is detected
once, then replayed with every 2nd to 20th frame. Exit 1 when counts with a coverage of 0.95 or more are off by more
than 5 % of those with every frame, all recordings together.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_app.assembly.counter import build_detector
from edge_app.config.model import Config
from edge_app.console.terminal import bar, stdout, table
from edge_app.offline.scoring import read_truth
from edge_app.records import Frame, Line
from edge_app.sources import Source
from edge_app.sources.recording import Recording
from edge_app.sources.street.street import Street
from tests.support.scripted import Scripted, pipeline
from tests.support.trajectories import Observation
from tests.trials.detected import read

EVERY: Final = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
COVERED: Final = 0.95
OFF: Final = 0.05


@dataclass(frozen=True, slots=True)
class Road:
    """A recording as the detector saw it. frames: with black pictures of the right size."""

    name: str
    line: Line
    frames: list[Frame]
    observations: list[Observation]


@dataclass(frozen=True, slots=True)
class Replayed:
    """Result of a replay. step_s: from frame to frame. slow: most looks were too rare at the end."""

    step_s: float
    counted: int
    coverage: float
    slow: bool


def detected(name: str, line: Line, source: Source, expected: int) -> Road:
    """Detect in every frame of a recording with the default detector."""
    detector, frames, observations = build_detector(Config()), list[Frame](), list[Observation]()
    black = np.zeros((1, 1, 3), np.uint8)
    with bar(name, expected) as progress:
        for frame in read(source):
            if black.shape != frame.image.shape:
                black = np.zeros_like(frame.image)
            frames.append(Frame(black, frame.index, frame.captured_at, frame.monotonic))
            observations.append(Observation(frame.monotonic, detector.detect(frame.image)))
            progress.forward()
    detector.close()
    return Road(name, line, frames, observations)


def replayed(road: Road, every: int) -> Replayed:
    """Count with every `every`th frame."""
    frames, observations = road.frames[::every], road.observations[::every]
    counts = pipeline(Scripted(observations), road.line)
    results = [counts.process(frame) for frame in frames]
    steps = np.diff([frame.monotonic for frame in frames])
    seen = np.array([road.line.id not in result.unseen for result in results[1:]], float)
    counted = sum(len(result.crossings) for result in results)
    return Replayed(float(np.median(steps)), counted, float(steps @ seen / steps.sum()), bool(results[-1].slow))


def roads(truths: Iterable[Path], minutes: float) -> Iterator[Road]:
    """Yield the recordings of the truth files, and the rendered street."""
    for path in truths:
        truth = read_truth(path)
        source = Recording(path.resolve().parent.parent / "clips" / truth.clip)
        yield detected(path.stem, truth.line, source, source.frames_expected)
    if minutes:
        street = Street(seed=3, flow=(20.0, 20.0), seconds=60 * minutes)
        yield detected("rendered street", Street.line, street, round(60 * minutes * street.status.rate))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", nargs="*", type=Path, metavar="TRUTH.json")
    parser.add_argument("--street", type=float, default=5.0, metavar="MINUTES", help="0 for none (default 5)")
    given = parser.parse_args()
    rows = table("recording", "every", "frames/s", "counted", "coverage", "")
    full = covered = uncovered = without = 0
    for road in roads(given.truth, given.street):
        whole = replayed(road, 1).counted
        for every in EVERY:
            found = replayed(road, every)
            flag = "slow" if found.slow else ""
            rows.add_row(
                road.name[:26],
                str(every),
                f"{1 / found.step_s:.1f}",
                f"{found.counted} of {whole}",
                f"{found.coverage:.2f}",
                flag,
            )
            if found.coverage >= COVERED:
                full, covered = full + whole, covered + found.counted
            else:
                without, uncovered = without + whole, uncovered + found.counted
        rows.add_section()
    stdout().print(rows)
    print(f"with a coverage of {COVERED} or more {covered} of {full}, with less {uncovered} of {without}")
    return int(abs(covered - full) > OFF * full)


if __name__ == "__main__":
    sys.exit(main())
