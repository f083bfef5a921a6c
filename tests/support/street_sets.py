"""Make labelled sets of the rendered street in which some labels are wrong on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2

from edge_app.records import Image
from edge_app.sources.street.street import Street
from models.data.commands import main
from tests.support.reading import read_frame

NUMBERS = {"car": 0, "motorcycle": 1, "bus": 2, "truck": 3}
Box = tuple[float, float, float, float]
Row = tuple[str, Box]


def frames(wanted: str, count: int) -> Iterator[tuple[Image, list[Row]]]:
    """Yield frames in which a vehicle of this class is alone in the middle of the near lane, with all boxes in px."""
    street, last = Street(flow=(25.0, 0.0), mix={wanted: 1.0}, seed=5), -1
    for _ in range(1500):
        image = read_frame(street).image
        boxes = [(label, box) for _, label, box in street.boxes()]
        middle = [n for n, _, box in street.boxes() if abs((box[0] + box[2]) / 2 - 640) < 60]
        if middle and middle[0] != last and all(box[0] > 5 and box[2] < 1275 for _, box in boxes):
            last = middle[0]
            yield image, boxes
            count -= 1
        if not count:
            return


def central(rows: list[Row]) -> int:
    """Return the row of the box nearest to the middle."""
    return min(range(len(rows)), key=lambda i: abs((rows[i][1][0] + rows[i][1][2]) / 2 - 640))


def write(root: Path, name: str, image: Image, rows: list[Row]) -> None:
    """Write a picture with its YOLO labels."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(root / "images" / f"{name}.jpg"), image)
    height, width = image.shape[:2]
    lines = [
        f"{NUMBERS[label]} {(x0 + x1) / 2 / width} {(y0 + y1) / 2 / height} {(x1 - x0) / width} {(y1 - y0) / height}\n"
        for label, (x0, y0, x1, y1) in rows
    ]
    (root / "labels" / f"{name}.txt").write_text("".join(lines))


def doubtful_street(root: Path) -> Path:
    """Return shards with one vehicle in the middle of each picture; one car has no label, one is labelled as a bus."""
    (root / "classes.txt").write_text("car\nmotorcycle\nbus\ntruck\n")
    for number, (image, rows) in enumerate(frames("car", 4)):
        chosen = central(rows)
        wrong: dict[int, list[Row]] = {0: [], 1: [("bus", rows[chosen][1])]}
        name = {0: "missing", 1: "bus"}.get(number, f"right{number}")
        write(root, name, image, rows[:chosen] + wrong.get(number, [rows[chosen]]) + rows[chosen + 1 :])
    for number, (image, rows) in enumerate(frames("motorcycle", 4)):
        write(root, f"rider{number}", image, rows)
    out = root / "shards"
    words = ["import", str(root), "--format", "yolo", "--origin", "the street <b>", "--licence", "none stated"]
    assert main([*words, "--camera", "street", "--out", str(out)]) == 0
    return out
