"""Compute the content of the report as plain data: the JSON beside the page, from which the page is filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from edge_app.records import FloatArray
from models.data.report.findings import GRADES, Duplicates, Findings
from models.data.report.riders import RISEN
from models.data.report.suspects import KINDS
from models.data.samples import CLASSES, MOTORCYCLE
from models.data.shards import Entry

SCHEMA: Final = "edge-app/data-report/1"
PERCENTILES: Final = (5, 25, 50, 75, 95)
CAR: Final = CLASSES.index("car")
ENOUGH: Final = 20
"""Motorcycles with a known rider, or cars, from which a camera gets a figure of its own."""


@dataclass(frozen=True, slots=True)
class About:
    """Inputs of a report.

    command: as typed. shards: their folders. input: width and height of the model's input, px.
    model: name and sha256 of the trusted detector, None without one. sure: score from which it is believed.
    """

    command: str
    shards: Sequence[str]
    input: tuple[int, int]
    model: tuple[str, str] | None
    sure: float


def content(about: About, entries: Sequence[Entry], same: Duplicates, found: Findings) -> dict[str, Any]:
    """Return the whole report except its pictures."""
    return {
        "schema": SCHEMA,
        **asdict(about),
        "pictures": len(entries),
        "origins": [_origin(name, entries) for name in _origins(entries)],
        "cameras": _cameras(entries, same, found),
        "sizes": [_sizes(label, found.boxes(i)) for i, label in enumerate(CLASSES)],
        "duplicates": {
            "exact": [list(pair) for pair in same.exact],
            "across_cameras": [
                {"pictures": [entries[p.first].name, entries[p.second].name], "bits": p.bits} for p in same.across
            ],
        },
        "suspect_counts": {kind: _by_origin(found, kind, _origins(entries)) for kind in KINDS},
        "riders": _rider_rows(entries, found),
        "suspects": [asdict(suspect) for kind in KINDS for suspect in found.of_kind(kind)],
    }


def _origins(entries: Sequence[Entry]) -> list[str]:
    return list(dict.fromkeys(entry.origin for entry in entries))


def _origin(name: str, entries: Sequence[Entry]) -> dict[str, Any]:
    mine = [entry for entry in entries if entry.origin == name]
    counts = {label: sum(entry.counts[label] for entry in mine) for label in CLASSES}
    return {
        "origin": name,
        "licences": sorted({entry.licence for entry in mine}),
        "cameras": len({entry.camera for entry in mine}),
        "pictures": len(mine),
        "without_boxes": sum(not any(entry.counts.values()) for entry in mine),
        "boxes": counts,
        "ignored": sum(entry.ignored for entry in mine),
    }


def _cameras(entries: Sequence[Entry], same: Duplicates, found: Findings) -> list[dict[str, Any]]:
    """Return a row for every camera, most pictures first."""
    rows: dict[str, dict[str, Any]] = {}
    for entry in entries:
        empty = {"camera": entry.camera, "origin": entry.origin, "pictures": 0, "boxes": dict.fromkeys(CLASSES, 0)}
        row = rows.setdefault(entry.camera, empty)
        row["pictures"] += 1
        row["boxes"] = {label: row["boxes"][label] + entry.counts[label] for label in CLASSES}
    for camera, row in rows.items():
        row["distinct"] = same.distinct.get(camera, 0)
        row["car_height_to_width"] = _tall(found.boxes(CAR, camera)) if row["boxes"]["car"] >= ENOUGH else None
    return sorted(rows.values(), key=lambda row: -int(row["pictures"]))


def _sizes(label: str, sides: FloatArray) -> dict[str, Any]:
    """Return percentiles of the box sizes, and the number of boxes between the grades.

    sides: float32 (N, 2), width and height in px of the model's input. A size is the square root of the area.
    """
    root = np.sqrt(np.prod(sides, axis=1))
    edges = [0.0, *GRADES, np.inf]
    counts = np.histogram(root, edges)[0].tolist()
    marks = np.percentile(root, PERCENTILES).round(1).tolist() if len(root) else [None] * len(PERCENTILES)
    return {
        "class": label,
        "boxes": len(root),
        "percentiles": dict(zip(PERCENTILES, marks, strict=True)),
        "grades": counts,
    }


def _by_origin(found: Findings, kind: str, origins: Sequence[str]) -> Mapping[str, int]:
    mine = [suspect.origin for suspect in found.of_kind(kind)]
    return {name: mine.count(name) for name in origins}


def _riders(owner: str, found: Findings) -> dict[str, Any]:
    """Return the row of an origin or a camera."""
    rises, sides = found.rises_of(owner), found.boxes(MOTORCYCLE, owner)
    known = rises[~np.isnan(rises)]
    return {
        "of": owner,
        "judged": len(known),
        "not_judged": len(rises) - len(known),
        "left_out": int((known >= RISEN).sum()),
        "share_left_out": round(float((known >= RISEN).mean()), 3) if len(known) else None,
        "median_rise": round(float(np.median(known)), 3) if len(known) else None,
        "median_height_to_width": _tall(sides),
    }


def _tall(sides: FloatArray) -> float | None:
    """Return the median height / width of boxes (N, 2) in the scene's shape; None without boxes."""
    return round(float(np.median(sides[:, 1] / np.maximum(sides[:, 0], 1e-6))), 2) if len(sides) else None


def _rider_rows(entries: Sequence[Entry], found: Findings) -> list[dict[str, Any]]:
    """Return the rows of every origin, then of the cameras with enough motorcycles whose rider is known."""
    if not found.rises:
        return []
    cameras = dict.fromkeys(entry.camera for entry in entries)
    rows = [_riders(name, found) for name in cameras]
    return [_riders(name, found) for name in _origins(entries)] + [row for row in rows if row["judged"] >= ENOUGH]
