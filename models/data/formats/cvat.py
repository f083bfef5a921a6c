"""Read CVAT's own XML ("CVAT for images 1.1"): annotations.xml with an <image> for each picture, beside images/.

Polygons and polylines become their bounding boxes. A box whose attribute `ignore` or `difficult` is true is ignored.
"CVAT for video" holds tracks over a video and no pictures: export it as images.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from models.data.errors import UsageError
from models.data.formats import Labelled, Pictures, Row, number, without_suffix
from models.data.problems import Problems

FILE: Final = "annotations.xml"
SIDES: Final = ("xtl", "ytl", "xbr", "ybr")
_IGNORED: Final = ("ignore", "ignored", "difficult")


def read(root: Path, pictures_in: Path, problems: Problems) -> Iterator[Labelled]:
    """Yield the pictures of an annotations.xml, or of all of them below a folder.

    Raises UsageError: when there is none, or when it is about a video.
    """
    files = [root] if root.is_file() else sorted(root.rglob(FILE))
    if not files:
        raise UsageError(f'{root} holds no {FILE}, as CVAT writes it for "CVAT for images 1.1".')
    pictures = Pictures(pictures_in)
    for path in files:
        yield from _labelled(path, pictures, problems)
    for picture in pictures.not_asked():
        problems.add("picture without label", picture, f"no {FILE} lists it")


def _labelled(path: Path, pictures: Pictures, problems: Problems) -> Iterator[Labelled]:
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, OSError, ValueError) as error:
        problems.add("unreadable label", path, str(error), getattr(error, "position", (None,))[0])
        return
    if root.find("track") is not None:
        raise UsageError(f'{path} is about a video: in CVAT export the job as "CVAT for images 1.1", with images.')
    for image in root.iter("image"):
        name = image.get("name", "")
        picture = pictures.find(name) if name else None
        if picture is None:
            problems.add("missing picture", path, f"{name or 'a picture without name'} is not there")
            continue
        rows = [row for element in image for row in _row(element, path, problems)]
        yield Labelled(without_suffix(name), picture, path, tuple(rows), pixels=True, size=_size(image))


def _size(image: ET.Element) -> tuple[int, int] | None:
    try:
        return int(image.get("width", "")), int(image.get("height", ""))
    except ValueError:
        return None


def _row(element: ET.Element, path: Path, problems: Problems) -> list[Row]:
    if element.tag not in ("box", "polygon", "polyline"):
        return []  # tags and points say nothing of a vehicle's extent
    try:
        corners = _corners(element)
        label = element.get("label", "").strip()
        if not label:
            raise ValueError("it has no label")
    except ValueError as error:
        problems.add("malformed line", path, f"{element.tag}: {error}")
        return []
    flags = {one.get("name", "").lower(): (one.text or "").strip().lower() for one in element.findall("attribute")}
    return [Row(label, corners, None, ignored=any(flags.get(name) in ("true", "1", "yes") for name in _IGNORED))]


def _corners(element: ET.Element) -> tuple[float, float, float, float]:
    """Return x0 y0 x1 y1 in px. Raises ValueError: when they are no numbers. A turned box becomes its bounding box."""
    if element.tag == "box":
        if number(element.get("rotation", "0")) % 360:
            raise ValueError("it is turned; draw it upright")
        x0, y0, x1, y1 = (number(element.get(side, "")) for side in SIDES)
        return x0, y0, x1, y1
    points = [point.split(",") for point in element.get("points", "").split(";")]
    xs, ys = ([number(point[i]) if i < len(point) else number("") for point in points] for i in (0, 1))
    return min(xs), min(ys), max(xs), max(ys)
