"""Render a street as labelled pictures and as a clip with its truth, for tests of models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge_app.records import Image
from edge_app.sources.street.street import Street
from models.data.samples import CLASSES
from tests.support.reading import read_frame

WIDTH, HEIGHT = 1280, 720


@dataclass(frozen=True)
class Road:
    """A rendered street as labelled pictures of two sets and as a clip with its truth."""

    images: Path
    truth: Path


def label(boxes: list[tuple[int, str, tuple[float, float, float, float]]]) -> str:
    """Return boxes in px as YOLO labels; vehicles that are nearly outside are left out."""
    rows = []
    for _, kind, (x0, y0, x1, y1) in boxes:
        x0, x1 = max(0.0, x0) / WIDTH, min(float(WIDTH), x1) / WIDTH
        y0, y1 = y0 / HEIGHT, y1 / HEIGHT
        if x1 - x0 > 0.03:
            rows.append(f"{CLASSES.index(kind)} {(x0 + x1) / 2} {(y0 + y1) / 2} {x1 - x0} {y1 - y0}\n")
    return "".join(rows)


def save(image: Image, labels: str, folder: Path, name: str) -> None:
    """Write a picture and its labels into a folder."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / "images" / f"{name}.jpg"), cv2.resize(image, (640, 360)))
    (folder / "labels" / f"{name}.txt").write_text(labels)


def render(folder: Path) -> Road:
    """Render six seconds of a street into a folder. Return its parts."""
    (folder / "clips").mkdir()
    (folder / "truth").mkdir()
    seconds, street = 6.0, Street(seed=5, flow=(25.0, 25.0))
    writer = cv2.VideoWriter(str(folder / "clips" / "street.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 15.0, (640, 360))
    for index in range(int(seconds * 15)):
        frame = read_frame(street)
        writer.write(cv2.resize(frame.image, (640, 360)))
        if index % 8 == 0 and street.boxes():
            save(frame.image, label(street.boxes()), folder / "eval", f"{('near', 'far')[index % 3 > 1]}__{index:04d}")
    writer.release()
    events = [
        {"frame": round(c.at * 15 - street.start_at * 15), "class": c.label, "direction": c.direction}
        for c in street.truth(seconds)
    ]
    line = {"id": "main", "start": Street.line.start, "end": Street.line.end}
    content = {"clip": "street.mp4", "line": line, "fps": 15.0, "frames": int(seconds * 15), "events": events}
    (folder / "truth" / "street.json").write_text(json.dumps(content))
    return Road(folder / "eval", folder / "truth" / "street.json")
