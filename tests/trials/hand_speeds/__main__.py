"""Measure speeds in recordings and compare them with those that a person read from the frames.

    python -m tests.trials.hand_speeds FOLDER_OF_CLIPS [--clip NAME]

A file beside this one holds, for each clip, how the road was calibrated and the readings of each vehicle: frame, point
(px) and again frame, point, and the metres between, by a scale that the calibration does not use. Each was read twice,
the second time from other frames, in another order and with shifted rulers, so that the first reading could not be
remembered. Clips that are not in the folder are left out. The result is 1 where less than 90 % lie within 10 %.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_app.assembly.counter import build_detector, build_pipeline, build_recording
from edge_app.assembly.measures import build_meters
from edge_app.config.model import Config
from edge_app.console.terminal import bar, stdout, table
from edge_app.measures.speed_meter import Measured
from edge_app.offline.replay import count_recording
from edge_app.records import FrameResult

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

_NEAR_S: Final = 0.7
"""Longest time between a vehicle's crossing as read and as counted: the clips' lines are not the truth's."""
_WITHIN: Final = 0.10
_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle as read. frame: in which it crosses the line. kmh: of each reading."""

    frame: int
    direction: str
    kmh: tuple[float, float]

    @property
    def speed(self) -> float:
        return sum(self.kmh) / 2


def clips() -> list[dict[str, Any]]:
    """Return the content of every clip's file."""
    files = sorted(Path(__file__).parent.glob("*.toml"))
    return [tomllib.loads(file.read_text(encoding="utf-8")) for file in files]


def vehicles(clip: dict[str, Any]) -> list[Vehicle]:
    """Return the vehicles of a clip's file."""
    return [
        Vehicle(
            one["frame"],
            one["direction"],
            tuple(metres * clip["fps"] / (last - first) * 3.6 for first, _, _, last, _, _, metres in one["readings"]),
        )
        for one in clip["vehicles"]
    ]


def measured(clip: dict[str, Any], path: Path) -> list[Measured]:
    """Return what the program measures in a clip, with the calibration of its file."""
    start, end = clip["line"]
    line = {"id": "main", "start": start, "end": end}
    config = Config.model_validate({"lines": [line], "geometry": clip["geometry"]})
    meters, found = build_meters(config), list[Measured]()
    assert meters is not None
    source = build_recording(config, [path], None)
    with bar(path.name, source.frames_expected) as progress:

        def on_frame(result: FrameResult) -> None:
            found.extend(meters.observe(result))
            progress.forward()

        count_recording(source, build_pipeline(config, build_detector(config)), threading.Event(), on_frame)
    return [*found, *meters.finish()]


def pairs(read: Sequence[Vehicle], found: Sequence[Measured], rate: float) -> dict[int, Measured]:
    """Return which crossing is which vehicle, by its index: those of one direction that are nearest in time first."""
    near = sorted(
        (abs(read[i].frame - found[j].crossing.frame), i, j)
        for i, j in product(range(len(read)), range(len(found)))
        if read[i].direction == found[j].crossing.direction
    )
    taken: dict[int, Measured] = {}
    used: set[int] = set()
    for apart, i, j in near:
        if apart <= _NEAR_S * rate and i not in taken and j not in used:
            taken[i] = found[j]
            used.add(j)
    return taken


def compare(clip: dict[str, Any], path: Path) -> list[float]:
    """Print a clip's vehicles; return how much each measured speed differs from the read one, as a share of it."""
    read = vehicles(clip)
    which = pairs(read, measured(clip, path), clip["fps"])
    rows, errors, within = table("frame", "read, km/h", "again", "measured", "error", "stated"), [], 0
    for index, vehicle in enumerate(read):
        speed = which[index].speed if index in which else None
        cells = [f"{kmh:.1f}" for kmh in vehicle.kmh]
        if speed is None:
            rows.add_row(str(vehicle.frame), *cells, "", "", "")
            continue
        errors.append(speed.kmh / vehicle.speed - 1)
        within += abs(speed.kmh - vehicle.speed) <= speed.error_kmh
        rows.add_row(
            str(vehicle.frame), *cells, f"{speed.kmh:.1f}", f"{errors[-1]:+.1%}", f"{speed.error_kmh / speed.kmh:.1%}"
        )
    out, apart = stdout(), np.array([abs(v.kmh[1] / v.kmh[0] - 1) for v in read])
    off = np.array(errors)
    out.print(rows)
    out.print(
        f"{clip['clip']}: {len(off)} of {len(read)} measured, {(abs(off) <= _WITHIN).sum()} within 10 %, "
        f"{(abs(off) <= _WITHIN / 2).sum()} within 5 %, {within} within the stated error, "
        f"mean {off.mean():+.1%}, standard deviation {off.std():.1%}; "
        f"readings differ by {apart.mean():.1%} in the mean, {apart.max():.1%} at most"
    )
    return errors


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare every clip that is there; return 1 where less than 90 % are within 10 %."""
    parser = argparse.ArgumentParser(prog="tests.trials.hand_speeds", description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="FOLDER_OF_CLIPS", type=Path)
    parser.add_argument("--clip", metavar="NAME", help="this clip alone, such as us_night_wet_highway")
    given = parser.parse_args(arguments)
    errors: list[float] = []
    for clip in clips():
        path = given.folder / clip["clip"]
        if given.clip not in (None, path.stem):
            continue
        if path.exists():
            errors += compare(clip, path)
        else:
            stdout().print(f"{clip['clip']} is not in {given.folder}: left out")
    if not errors:
        return 0
    good = sum(abs(error) <= _WITHIN for error in errors) / len(errors)
    stdout().print(f"{len(errors)} vehicles, {good:.0%} within 10 %")
    return int(good < _SHARE)


if __name__ == "__main__":
    sys.exit(main())
