"""Write predictions as Pascal VOC annotations. Pure.

One XML file a picture, which CVAT ("PASCAL VOC 1.1"), labelImg and models/data can open.

Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge" (2010). Corners are edges in px from the top left,
as CVAT and labelImg read them. verified="no" stays until a person saves the picture in labelImg or another program: the
import of pictures takes none with it unawares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class Label:
    """A box for a person to confirm.

    name: class. box: x0, y0, x1, y1 px. score: of the detection, 0..1; 0 for a vehicle that only the tracker follows.
    """

    name: str
    box: tuple[float, float, float, float]
    score: float


def annotation(
    file: str, size: tuple[int, int], labels: Sequence[Label], source: str, *, verified: bool = False
) -> bytes:
    """Return the XML of one picture.

    file: its name. size: width and height, px. source: text that says what made the labels. verified: a
    person has looked at them.
    """
    root = ElementTree.Element("annotation", {"verified": "yes" if verified else "no"})
    ElementTree.SubElement(root, "folder").text = "JPEGImages"
    ElementTree.SubElement(root, "filename").text = file
    ElementTree.SubElement(ElementTree.SubElement(root, "source"), "database").text = source
    _values(ElementTree.SubElement(root, "size"), {"width": size[0], "height": size[1], "depth": 3})
    ElementTree.SubElement(root, "segmented").text = "0"
    for label in labels:
        element = ElementTree.SubElement(root, "object")
        cut = min(label.box[:2]) <= 0 or label.box[2] >= size[0] or label.box[3] >= size[1]
        _values(element, {"name": label.name, "pose": "Unspecified", "truncated": int(cut), "difficult": 0})
        corners = {side: round(value, 1) for side, value in zip(SIDES, label.box, strict=True)}
        _values(ElementTree.SubElement(element, "bndbox"), corners)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode").encode() + b"\n"


def _values(parent: ElementTree.Element, values: Mapping[str, object]) -> None:
    for tag, value in values.items():
        ElementTree.SubElement(parent, tag).text = str(value)
