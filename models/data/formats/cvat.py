"""Read and write CVAT's own XML ("CVAT for images 1.1"): annotations.xml with an <image> for each picture, in images/.

Polygons and polylines become their bounding boxes. A box whose attribute `ignored`, `ignore` or `difficult` is true is
ignored. "CVAT for video" holds tracks over a video and no pictures: export it as images.

CVAT rounds to a hundredth of a pixel when it exports, and replaces `source` when it imports. So the text about a label
is an attribute, and a picture at which nobody has looked has a tag.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from models.data.errors import UsageError
from models.data.formats import (
    DOUBT,
    UNCHECKED,
    Labelled,
    Pictures,
    Row,
    Shown,
    in_pixels,
    number,
    plain,
    save,
    without_suffix,
)
from models.data.problems import Problems
from models.data.samples import CLASSES, Sample

FILE: Final = "annotations.xml"
SPECIFICATION: Final = "labels.json"
"""Labels and their attributes, as CVAT's raw label editor takes them."""
SIDES: Final = ("xtl", "ytl", "xbr", "ybr")
SAYS: Final = "says"
_IGNORED: Final = ("ignore", "ignored", "difficult")
_SHAPES: Final = ("box", "polygon", "polyline")
_WITHOUT_EXTENT: Final = ("tag", "points", "attribute")
"""They say nothing of a vehicle's extent."""


def read(root: Path, pictures_in: Path, problems: Problems) -> Iterator[Labelled]:
    """Yield the pictures of an annotations.xml, or of all of them below a folder.

    Raises UsageError: when there is none, or when it is about a video.
    """
    pictures = Pictures(pictures_in)
    for item in stated(root, problems):
        picture = pictures.find(item.picture.as_posix())
        if picture is None:
            problems.add("missing picture", item.labels, f"{item.picture} is not there")
        else:
            yield replace(item, picture=picture)
    for picture in pictures.not_asked():
        problems.add("picture without label", picture, f"no {FILE} lists it")


def stated(root: Path, problems: Problems) -> Iterator[Labelled]:
    """Yield what an annotations.xml, or all of them below a folder, say of their pictures, which nobody looks for.

    The picture of an item is its file name as stated. Raises UsageError: as `read`.
    """
    files = [root] if root.is_file() else sorted(root.rglob(FILE))
    if not files:
        raise UsageError(f'{root} holds no {FILE}, as CVAT writes it for "CVAT for images 1.1".')
    for path in files:
        yield from _stated(path, problems)


def _stated(path: Path, problems: Problems) -> Iterator[Labelled]:
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, OSError, ValueError) as error:
        problems.add("unreadable label", path, str(error), getattr(error, "position", (None,))[0])
        return
    if root.find("track") is not None:
        raise UsageError(f'{path} is about a video: in CVAT export the job as "CVAT for images 1.1", with images.')
    by = next((found for who in ("assignee", "owner") if (found := root.findtext(f"meta/*/{who}/username"))), "")
    at = root.findtext("meta/dumped") or ""
    for image in root.iter("image"):
        name = image.get("name", "")
        if not name:
            problems.add("missing picture", path, "an image without a name is not there")
            continue
        rows = [_row(element, name, path, problems) for element in image if element.tag not in _WITHOUT_EXTENT]
        yield Labelled(
            name=without_suffix(name),
            picture=Path(name),
            labels=path,
            rows=tuple(row for row in rows if row),
            pixels=True,
            size=_size(image),
            unchecked=any(tag.get("label") == UNCHECKED for tag in image.findall("tag")),
            lost=rows.count(None),
            by=by,
            at=at,
        )


def _size(image: ET.Element) -> tuple[int, int] | None:
    try:
        return int(image.get("width", "")), int(image.get("height", ""))
    except ValueError:
        return None


def _row(element: ET.Element, name: str, path: Path, problems: Problems) -> Row | None:
    """Return a shape as a box; list one that is none and return None. name: of the picture."""
    try:
        if element.tag not in _SHAPES:
            raise ValueError("it is no box; draw one around the vehicle")
        corners = _corners(element)
        label = element.get("label", "").strip()
        if not label:
            raise ValueError("it has no label")
    except ValueError as error:
        problems.add("malformed line", path, f"{name}: {element.tag}: {error}")
        return None
    flags = {one.get("name", "").lower(): (one.text or "").strip().lower() for one in element.findall("attribute")}
    return Row(label, corners, None, ignored=any(flags.get(name) in ("true", "1", "yes") for name in _IGNORED))


def _corners(element: ET.Element) -> tuple[float, float, float, float]:
    """Return x0 y0 x1 y1 in px. Raises ValueError: when they are no numbers, or the box is turned."""
    if element.tag == "box":
        if number(element.get("rotation", "0")) % 360:
            raise ValueError("it is turned; draw it upright")
        x0, y0, x1, y1 = (number(element.get(side, "")) for side in SIDES)
        return x0, y0, x1, y1
    points = [point.split(",") for point in element.get("points", "").split(";")]
    xs, ys = ([number(point[i]) if i < len(point) else number("") for point in points] for i in (0, 1))
    return min(xs), min(ys), max(xs), max(ys)


def write(folder: Path, samples: Iterable[Sample]) -> None:
    """Write images/, annotations.xml and labels.json, which CVAT needs before it takes the others."""
    present(folder, plain(samples))


def present(folder: Path, items: Iterable[Shown]) -> None:
    """Write images/, annotations.xml and labels.json with texts about labels, and places that lack one."""
    folder.mkdir(parents=True, exist_ok=True)
    saved = {save(folder / "images", item.sample): replace(item, sample=item.sample.without_image()) for item in items}
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    root.append(_meta(len(saved)))
    for place, name in enumerate(sorted(saved)):  # CVAT numbers them in this order too
        root.append(_image(place, name, saved[name]))
    ET.indent(tree := ET.ElementTree(root))
    tree.write(folder / FILE, encoding="utf-8", xml_declaration=True)
    (folder / SPECIFICATION).write_text(json.dumps(specification(), indent=1) + "\n", encoding="utf-8")


def specification() -> list[dict[str, Any]]:
    """Return the labels as CVAT's raw label editor takes them."""
    says = {"name": SAYS, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
    ignored = {"name": "ignored", "mutable": False, "input_type": "checkbox", "default_value": "false"}
    box = [ignored | {"values": ["false"]}, says]
    boxes = [{"name": label, "type": "rectangle", "attributes": box} for label in CLASSES]
    doubt = {"name": DOUBT, "type": "rectangle", "attributes": [says]}
    return [*boxes, doubt, {"name": UNCHECKED, "type": "tag", "attributes": []}]


def _meta(size: int) -> ET.Element:
    meta = ET.Element("meta")
    task = ET.SubElement(meta, "task")
    _values(task, {"size": size, "mode": "annotation"})
    labels = ET.SubElement(task, "labels")
    for one in specification():
        label = ET.SubElement(labels, "label")
        _values(label, {"name": one["name"], "type": one["type"]})
        attributes = ET.SubElement(label, "attributes")
        for each in one["attributes"]:
            texts = each | {"values": "\n".join(each["values"])}
            _values(ET.SubElement(attributes, "attribute"), texts)
    return meta


def _values(parent: ET.Element, values: Mapping[str, object]) -> None:
    for tag, value in values.items():
        ET.SubElement(parent, tag).text = str(value)


def _image(place: int, name: str, item: Shown) -> ET.Element:
    sample = item.sample
    size = {"width": str(sample.width), "height": str(sample.height)}
    image = ET.Element("image", {"id": str(place), "name": name} | size)
    source = "auto" if item.unchecked else "manual"
    rows = zip(in_pixels(sample), sample.classes, sample.ignored, item.says, strict=True)
    for corners, kind, ignored, says in rows:
        box = _box(image, CLASSES[kind], corners, source)
        ET.SubElement(box, "attribute", {"name": "ignored"}).text = str(bool(ignored)).lower()
        ET.SubElement(box, "attribute", {"name": SAYS}).text = says
    side = [sample.width, sample.height] * 2
    for one in item.places:
        box = _box(image, DOUBT, [round(v * s, 3) for v, s in zip(one.box, side, strict=True)], "auto")
        ET.SubElement(box, "attribute", {"name": SAYS}).text = one.says
    if item.unchecked:
        ET.SubElement(image, "tag", {"label": UNCHECKED, "source": "auto"})
    return image


def _box(image: ET.Element, label: str, corners: Iterable[float], source: str) -> ET.Element:
    sides = dict(zip(SIDES, (f"{value:.3f}" for value in corners), strict=True))
    return ET.SubElement(image, "box", {"label": label, "source": source, "occluded": "0", **sides, "z_order": "0"})
