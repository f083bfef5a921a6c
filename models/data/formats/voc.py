"""Read and write Pascal VOC: one XML file a picture, in Annotations/ beside JPEGImages/, or beside the picture.

Corners are read as edges in px from the top left, as labelImg, CVAT and Roboflow write them; the 2007 original counts
from 1 and includes the last pixel, which shifts a box by half a pixel. `difficult` boxes are ignored ones. A picture is
marked as unchecked by verified="no", which labelImg drops when a person saves it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from xml.parsers import expat

from models.data.formats import Labelled, Pictures, Row, Shown, in_pixels, number, plain, save, suffix_of
from models.data.problems import Problems
from models.data.samples import CLASSES, Sample

SIDES: Final = ("xmin", "ymin", "xmax", "ymax")
VERIFIED: Final = "verified"
LINE: Final = "source line"  # no XML attribute can have this name


def read(root: Path, pictures_in: Path, problems: Problems) -> Iterator[Labelled]:
    """Yield all annotated pictures of a folder."""
    folder = root / "Annotations" if (root / "Annotations").is_dir() else root
    pictures = Pictures(pictures_in)
    for path in sorted(folder.rglob("*.xml")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        tree = _tree(path, problems)
        if tree is None:
            pictures.find(f"{name}.jpg")  # or it would also be listed as a picture without label
            continue
        picture = _picture(tree, name, pictures)
        if picture is None:
            problems.add("missing picture", path, f"there is no {tree.findtext('filename') or name} in {pictures_in}")
            continue
        rows = tuple(row for element in tree.iter("object") for row in _row(element, path, problems))
        unchecked = tree.get(VERIFIED) == "no"
        yield Labelled(name, picture, path, rows, pixels=True, size=_size(tree), unchecked=unchecked)
    for picture in pictures.not_asked():
        problems.add("picture without label", picture, "no XML file names it; one without objects says: no vehicles")


def _tree(path: Path, problems: Problems) -> ET.Element | None:
    """Return the annotation, each element with its line. ElementTree's own parser does not report lines."""
    builder, parser = ET.TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler = lambda tag, attributes: builder.start(
        tag, {**attributes, LINE: str(parser.CurrentLineNumber)}
    )
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(path.read_bytes(), True)
        root = builder.close()
        if root.tag != "annotation":
            raise ValueError(f"its root is <{root.tag}>, not <annotation>")
        return root
    except expat.ExpatError as error:
        problems.add("unreadable label", path, f"broken XML: {expat.errors.messages[error.code]}", error.lineno)
    except (OSError, ValueError, LookupError) as error:
        problems.add("unreadable label", path, str(error))
    return None


def _picture(tree: ET.Element, name: str, pictures: Pictures) -> Path | None:
    stated = (tree.findtext("filename") or "").strip()
    folder = Path(name).parent.as_posix()
    tries = [stated, f"{folder}/{stated}"] if stated else [f"{name}{suffix}" for suffix in (".jpg", ".png", ".jpeg")]
    return next((found for found in map(pictures.find, tries) if found), None)


def _size(tree: ET.Element) -> tuple[int, int] | None:
    """Return the stated (width, height); many tools leave it out or write 0."""
    try:
        return int(tree.findtext("size/width", "")), int(tree.findtext("size/height", ""))
    except ValueError:
        return None


def _row(element: ET.Element, path: Path, problems: Problems) -> list[Row]:
    line = int(element.attrib[LINE])
    try:
        label = (element.findtext("name") or "").strip()
        if not label:
            raise ValueError("the object has no name")
        x0, y0, x1, y1 = (number(element.findtext(f"bndbox/{side}") or "") for side in SIDES)
        return [Row(label, (x0, y0, x1, y1), line, ignored=element.findtext("difficult", "0").strip() == "1")]
    except ValueError as error:
        problems.add("malformed line", path, f"object: {error}", line)
        return []


def write(folder: Path, samples: Iterable[Sample]) -> None:
    """Write Annotations/ and JPEGImages/."""
    present(folder, plain(samples))


def present(folder: Path, items: Iterable[Shown]) -> None:
    """Write Annotations/ and JPEGImages/. The format has no place for the texts about labels."""
    for item in items:
        sample = item.sample
        save(folder / "JPEGImages", sample)
        path = folder / "Annotations" / f"{sample.name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        root = _annotation(sample)
        if item.unchecked:
            root.set(VERIFIED, "no")
        ET.indent(tree := ET.ElementTree(root))
        tree.write(path, encoding="utf-8")


def _annotation(sample: Sample) -> ET.Element:
    root = ET.Element("annotation")
    ET.SubElement(root, "filename").text = f"{sample.name}{suffix_of(sample.image)}"
    ET.SubElement(ET.SubElement(root, "source"), "database").text = sample.origin
    _values(ET.SubElement(root, "size"), {"width": sample.width, "height": sample.height, "depth": 3})
    for corners, kind, ignored in zip(in_pixels(sample), sample.classes, sample.ignored, strict=True):
        box = ET.SubElement(root, "object")
        _values(box, {"name": CLASSES[kind], "difficult": int(ignored)})
        _values(ET.SubElement(box, "bndbox"), dict(zip(SIDES, corners, strict=True)))
    return root


def _values(parent: ET.Element, values: dict[str, str | int] | dict[str, int] | dict[str, float]) -> None:
    for tag, value in values.items():
        ET.SubElement(parent, tag).text = str(value)
