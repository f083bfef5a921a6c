"""Count clips whose true crossings are known, and see whether doubtful crossings are the wrong ones.

`python -m tests.trials.doubtful TRUTH.json ...` counts each clip with two detector files and with fewer frames,
since the default hardly errs on them, and prints for each of these, and for all of them: crossings, wrong ones (another
class or direction than a true crossing within a second, or none there), doubtful ones, and how many are both.
Uncertain crossings of the truth count neither way.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from edge_app.assembly.counter import build_detector, build_pipeline
from edge_app.config.model import Config, DetectorConfig, LineConfig
from edge_app.console.terminal import stdout, table
from edge_app.offline.replay import count_recording
from edge_app.offline.scoring import GROUPS, Event, Truth, pairings, read_truth
from edge_app.records import Crossing
from edge_app.sources.recording import Recording
from tests.support.paths import ROOT

RUNS: Final = (("512x288", 1), ("512x288", 3), ("300x300", 1), ("300x300", 2))
"""Detector file, and every how many frames."""


class Tally(NamedTuple):
    """Numbers of crossings."""

    counted: int
    wrong: int
    doubtful: int
    both: int


def tally(truth: Truth, crossings: Sequence[Crossing]) -> Tally:
    """Return how many crossings of a clip are wrong, doubtful, and both."""
    told = [(Event(one.frame / truth.fps, one.label, one.direction), one.doubtful) for one in crossings]
    paired = pairings(truth, [event for event, _ in told])
    judged = []
    for event, doubtful in told:
        found = paired[GROUPS[event.label], event.direction]
        if event.time not in found.optional:
            judged.append((event.time in found.false, doubtful))
    wrong, unsure = sum(false for false, _ in judged), sum(doubtful for _, doubtful in judged)
    return Tally(len(judged), wrong, unsure, sum(false and doubtful for false, doubtful in judged))


def count(truth: Truth, clip: Path, model: str, every: int) -> Sequence[Crossing]:
    """Return the crossings of a clip, counted as `edge-app evaluate` does."""
    file = ROOT / "models/artefacts" / f"ssdlite_mobilenet_v2_{model}.tflite"
    line = LineConfig(id=truth.line.id, start=truth.line.start, end=truth.line.end)
    config = Config(detector=DetectorConfig(model=file, allow_unproven=True), lines=(line,))
    source = Recording(clip, fps_limit=truth.fps / every * 1.001 if every > 1 else None)
    detector = build_detector(config)
    try:
        return count_recording(source, build_pipeline(config, detector), threading.Event()).crossings
    finally:
        detector.close()


def rows(truths: Sequence[Path]) -> Iterator[tuple[str, Tally]]:
    """Yield each run with its numbers over all clips."""
    for model, every in RUNS:
        found = []
        for path in truths:
            truth = read_truth(path)
            clip = path.resolve().parent.parent / "clips" / truth.clip
            found.append(tally(truth, count(truth, clip, model, every)))
        frames = "every frame" if every == 1 else f"every {every}. frame"
        yield f"{model}, {frames}", Tally(*map(sum, zip(*found, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", nargs="+", type=Path)
    told = table("run", "crossings", "wrong", "doubtful", "doubtful and wrong")
    total = Tally(0, 0, 0, 0)
    for name, one in rows(parser.parse_args().truth):
        told.add_row(name, *map(str, one))
        print(name, *one, flush=True)
        total = Tally(*map(sum, zip(total, one, strict=True)))
    told.add_section()
    told.add_row("all", *map(str, total))
    stdout().print(told)
    share, precision = total.doubtful / total.counted, total.both / max(1, total.doubtful)
    stdout().print(
        f"doubtful: {share:.1%} of the crossings; {precision:.0%} of them are wrong, "
        f"of all {total.wrong / total.counted:.1%}; they hold {total.both / max(1, total.wrong):.0%} of the wrong ones"
    )


if __name__ == "__main__":
    main()
