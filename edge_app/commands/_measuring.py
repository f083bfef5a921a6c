"""What `edge-app count` and `evaluate` measure beside the count: options, files and what is printed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.measures.meters import Meters
    from edge_app.measures.speed_meter import Measured
    from edge_app.offline.bins import Bins
    from edge_app.offline.measured import MeasuredBin
    from edge_app.records import FrameResult, Line


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add the options of the files with measures."""
    parser.add_argument(
        "--measures",
        metavar="MEASURES.csv",
        type=Path,
        help="write speeds, headways, occupancy and queues in bins, as far as --config has them measured",
    )
    parser.add_argument(
        "--flows", metavar="FLOWS.csv", type=Path, help="write the turning flows between lines with `enters` in bins"
    )


def refuse_empty(arguments: argparse.Namespace, meters: Meters | None) -> None:
    """Raise ConfigError for a file that would have nothing in it."""
    if arguments.flows and (meters is None or meters.flows is None):
        raise ConfigError("--flows: no line is an arm of a junction; give lines of --config the key enters")
    if arguments.measures and meters is None:
        raise ConfigError("--measures: nothing is measured; give [geometry], or lines the keys lanes or queue")


class Measuring:
    """The measures of one recording. meters: None where nothing is measured. speeds: True where they are."""

    def __init__(self, meters: Meters | None, lines: Sequence[Line], *, speeds: bool) -> None:
        self._meters, self._lines, self._speeds = meters, lines, speeds
        self._measured: list[Measured] = []
        self._bins: list[MeasuredBin] = []

    def observe(self, result: FrameResult) -> None:
        """Take the result of every frame."""
        if self._meters is not None:
            self._measured += self._meters.observe(result)

    def finish(self, bins: Bins) -> None:
        """End the recording; its bins are over too."""
        from edge_app.offline.measured import measured_bins

        if self._meters is not None:
            self._measured += self._meters.finish()
            self._bins = measured_bins(self._meters, self._measured, bins, speeds=self._speeds)

    @property
    def active(self) -> bool:
        """True where anything is measured."""
        return self._meters is not None

    @property
    def crossings(self) -> list[Measured]:
        """The crossings that were measured so far, in order."""
        return self._measured

    @property
    def speeds(self) -> dict[int, float]:
        """Speeds, km/h, of tracks by their id."""
        return {one.crossing.track_id: one.speed.kmh for one in self._measured if one.speed is not None}

    def added(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the content of a result file with the measures."""
        from edge_app.offline.replay import with_measures

        if self._meters is None:
            return found
        lanes = any(line.lanes is not None for line in self._lines)
        return with_measures(found, self._measured, self._bins, speeds=self._speeds, lanes=lanes)

    def csv_texts(self, arguments: argparse.Namespace, classes: Sequence[str]) -> dict[Path, str]:
        """Return the content of the files that the options ask for."""
        from edge_app.offline.bins import csv_text
        from edge_app.offline.measured import FLOWS_HEADER, MEASURES_HEADER, arms_of

        texts, arms = {}, arms_of(self._lines)
        if arguments.measures:
            texts[arguments.measures] = csv_text((row for one in self._bins for row in one.rows()), MEASURES_HEADER)
        if arguments.flows:
            rows = (row for one in self._bins for row in one.flow_rows(arms, classes))
            texts[arguments.flows] = csv_text(rows, FLOWS_HEADER)
        return texts

    def print(self) -> None:
        """Print the speeds, and the turning flows as a matrix."""
        from edge_app.console.terminal import stdout, table
        from edge_app.offline.measured import arms_of

        if self._speeds:
            self._print_speeds()
        if self._meters is None or self._meters.flows is None:
            return
        arms = arms_of(self._lines)
        matrix = table("from / to", *arms)
        for origin in arms:
            matrix.add_row(origin, *(str(self._way(origin, to)) for to in arms))
        stdout().print(matrix)

    def _way(self, origin: str, to: str) -> int:
        """Return the number of vehicles that took a way."""
        ways = [one.flows.flows.get(origin, {}).get(to) for one in self._bins if one.flows is not None]
        return sum(count.total() for count in ways if count is not None)

    def _print_speeds(self) -> None:
        from edge_app.console.terminal import stdout
        from edge_app.measures.speed_sums import by_line, percentile

        for line, classes in by_line(self._measured).items():
            for label, ways in classes.items():
                for way, sums in ways.items():
                    told = "no speed measured"
                    if sums.n:
                        told = f"mean {sums.sum / sums.n:.0f} km/h, 85 % up to {percentile(sums.bins, 0.85):.0f} km/h"
                    stdout().print(f"{line}, {label}, {way}: {told} ({sums.n} of {sums.n + sums.unmeasured} vehicles)")
