"""Count ten minutes of dense rendered traffic with the real pipeline and compare with the exact truth.

`python -m tests.trials.street [--minutes 10] [--seed 3] [--light day]`. The exit status is 1 when cars
are off by more than 5 % or motorcycles by more than 10 %.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from edge_app.assembly.counter import build_detector, build_pipeline
from edge_app.config.model import Config
from edge_app.console.terminal import bar, stdout, table
from edge_app.errors import SourceEnded
from edge_app.records import Crossing
from edge_app.sources.street.street import Street

BOUNDS = {"car": 0.05, "motorcycle": 0.10}
"""Largest accepted error of a class, as a share of its true crossings."""


def counted(street: Street, frames: int) -> list[Crossing]:
    """Return the crossings that the default pipeline counts."""
    config = Config()
    pipeline = build_pipeline(config, build_detector(config))
    crossings: list[Crossing] = []
    with bar("street", frames) as progress:
        try:
            while frame := street.read(1.0):
                crossings += pipeline.process(frame).crossings
                progress.forward()
        except SourceEnded:
            return crossings
    return crossings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--light", choices=("day", "dusk", "cycle"), default="day")
    given = parser.parse_args()
    seconds = given.minutes * 60
    street = Street(seed=given.seed, light=given.light, flow=(20.0, 20.0), seconds=seconds)
    got = Counter(crossing.label for crossing in counted(street, round(seconds * street.status.rate)))
    true = Counter(crossing.label for crossing in street.truth(seconds))
    rows = table("class", "true", "counted", "off")
    for label in sorted({*true, *got}):
        off = abs(got[label] - true[label]) / max(1, true[label])
        rows.add_row(label, str(true[label]), str(got[label]), f"{off:.1%}")
    stdout().print(rows)
    return int(any(abs(got[label] - true[label]) > bound * true[label] for label, bound in BOUNDS.items()))


if __name__ == "__main__":
    sys.exit(main())
