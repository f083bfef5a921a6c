"""Write the page: the report's data, plots and contact sheets in one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
import numpy as np

from edge_app.records import FloatArray
from models.conversion.anchors import Size
from models.data.report import plots, riders
from models.data.report.content import ENOUGH
from models.data.report.findings import GRADES, Findings
from models.data.report.scenes import scene
from models.data.report.sheets import Tile, cut, sheet, whole
from models.data.report.suspects import KINDS, Suspect
from models.data.samples import CLASSES, MOTORCYCLE, Sample

TEMPLATE: Final = Path(__file__).with_name("page.html.j2")
TILES: Final = 25
A_CAMERA: Final = 5
"""Tiles of one camera on a sheet at most, so that one bad camera does not hide the others."""
SQUAT: Final = 0.6
"""Median height / width of a camera's cars below which its pictures were probably stretched: no car is so flat from the
front or from above, and only a camera that sees nothing but sides comes near it.
"""
LISTED: Final = 40
"""Cameras in the plot and the table."""


def worst(suspects: Sequence[Suspect]) -> list[Suspect]:
    """Return the first of a list sorted by weight, not too many of one camera."""
    chosen: list[Suspect] = []
    for suspect in suspects:
        if sum(other.camera == suspect.camera for other in chosen) < A_CAMERA:
            chosen.append(suspect)
        if len(chosen) == TILES:
            break
    return chosen


def suspect_sheets(found: Findings, samples: Mapping[str, Sample]) -> dict[str, bytes]:
    """Return kind -> JPEG of its worst cases. samples: by name, at least those of `wanted`."""
    sheets: dict[str, bytes] = {}
    for kind in KINDS:
        chosen = worst(found.of_kind(kind))
        if chosen:
            sheets[kind] = sheet([_tile(suspect, samples[suspect.name]) for suspect in chosen])
    return sheets


def wanted(found: Findings) -> set[str]:
    """Return the names of the pictures that the sheets show."""
    return {suspect.name for kind in KINDS for suspect in worst(found.of_kind(kind))}


def _tile(suspect: Suspect, sample: Sample) -> Tile:
    texts = {"missing label": suspect.seen, "other class": f"{suspect.label}? {suspect.seen}"}
    text = f"{texts.get(suspect.kind, suspect.label)} {suspect.weight:.2f}  {sample.name}"
    return cut(scene(sample), suspect.box, sample.boxes, text)


def pair_sheet(pairs: Sequence[tuple[Sample, Sample, int]]) -> bytes:
    """Return a JPEG of near-duplicates of different cameras, two side by side."""
    tiles = [
        whole(scene(one), f"{bits} bits  {one.camera}  {one.name}")
        for first, second, bits in pairs
        for one in (first, second)
    ]
    return sheet(tiles, columns=4)


def drawn(document: Mapping[str, Any], found: Findings, size: Size) -> dict[str, str]:
    """Return name -> plot as SVG."""
    origins = [row["origin"] for row in document["origins"]]
    balance = {label: [row["boxes"][label] for row in document["origins"]] for label in CLASSES}
    cameras = listed(document["cameras"])
    pictures = {
        "pictures": [row["pictures"] for row in cameras],
        "distinct": [row["distinct"] for row in cameras],
    }
    roots = {label: np.sqrt(np.prod(found.boxes(i), axis=1)) for i, label in enumerate(CLASSES)}
    marks = {f"{grade:g}": grade for grade in GRADES}
    return {
        "balance": plots.bars([short(name) for name in origins], balance, "boxes", logarithmic=True),
        "cameras": plots.bars([row["camera"] for row in cameras], pictures, "pictures"),
        "sizes": plots.histograms(roots, f"square root of a box's area, px at {size}", marks),
        "shapes": plots.densities(
            {short(o): shape for o in origins if len(shape := _shape(found, o)) >= ENOUGH}, "height / width", 0, 4
        ),
        "rises": plots.densities(
            {short(o): known for o in origins if len(known := _known(found.rises_of(o))) >= ENOUGH},
            "share of the rider's height above the motorcycle's box",
            -0.5,
            1,
            riders.RISEN,
        ),
    }


def _shape(found: Findings, origin: str) -> FloatArray:
    sides = found.boxes(MOTORCYCLE, origin)
    return np.asarray(sides[:, 1] / np.maximum(sides[:, 0], 1e-6), np.float32)


def _known(values: FloatArray) -> FloatArray:
    return np.asarray(values[~np.isnan(values)], np.float32)


def listed(cameras: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of cameras for the page: single scenes summed up by origin, and at most LISTED rows."""
    rows = [row for row in cameras if row["pictures"] > 1]
    for origin in dict.fromkeys(row["origin"] for row in cameras):
        alone = [row for row in cameras if row["origin"] == origin and row["pictures"] == 1]
        sums = {label: sum(row["boxes"][label] for row in alone) for label in CLASSES}
        row = {
            "camera": f"single scenes: {short(origin)}",
            "pictures": len(alone),
            "distinct": len(alone),
            "car_height_to_width": None,
        }
        rows += [row | {"boxes": sums}] if alone else []
    return rows[:LISTED]


def short(origin: str) -> str:
    """Return the last part of an origin's name."""
    return re.sub(r" v\d+$", "", origin).rpartition("/")[2]


def page(document: Mapping[str, Any], svgs: Mapping[str, str], sheets: Mapping[str, bytes]) -> str:
    """Return the HTML. svgs: name -> plot. sheets: name -> JPEG."""
    pictures = {name: base64.b64encode(data).decode("ascii") for name, data in sheets.items()}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    return template.render(
        document=document,
        plots=svgs,
        sheets=pictures,
        kinds=KINDS,
        classes=CLASSES,
        grades=GRADES,
        risen=riders.RISEN,
        cameras=listed(document["cameras"]),
        short=short,
        squat=SQUAT,
    )
