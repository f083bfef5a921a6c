"""Read and write COCO JSON: `images`, `annotations` (bbox x y width height in px) and `categories` in one file.

A picture in `images` without annotations has no vehicles, as the format says. `iscrowd` regions are ignored boxes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from models.data.errors import UsageError
from models.data.formats import Labelled, Pictures, Row, in_pixels, number, save, without_suffix
from models.data.problems import Problems
from models.data.samples import CLASSES, Sample

SECTIONS: Final = ("images", "annotations", "categories")
GAP: Final = re.compile(r"[\s,:]*")


@dataclass(slots=True)
class Listed:
    """An image as it is listed, and the boxes found for it."""

    line: int
    file: str
    size: tuple[int, int] | None
    rows: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Content:
    """The sections of one file; each entry with its line."""

    images: list[tuple[int, Any]] = field(default_factory=list)
    annotations: list[tuple[int, Any]] = field(default_factory=list)
    categories: list[tuple[int, Any]] = field(default_factory=list)


def read(root: Path, pictures_in: Path, problems: Problems) -> Iterator[Labelled]:
    """Yield the pictures of a JSON file, or of all COCO files in a folder and its annotations/.

    Raises UsageError: when the folder holds no JSON file.
    """
    files = [root] if root.is_file() else sorted([*root.glob("*.json"), *(root / "annotations").glob("*.json")])
    if not files:
        raise UsageError(f"{root} holds no JSON file, nor does {root / 'annotations'}.")
    pictures = Pictures(pictures_in)
    for path in files:
        content = _content(path, problems)
        if content and (content.images or content.annotations):
            yield from _labelled(path, content, pictures, problems)
    for picture in pictures.not_asked():
        problems.add("picture without label", picture, "no JSON file lists it among its images")


def _content(path: Path, problems: Problems) -> Content | None:
    """Return the sections of a file; None for a broken one, whose pictures would lack the boxes behind the break."""
    content = Content()
    try:
        for section, line, entry in _entries(path.read_text("utf-8")):
            getattr(content, section).append((line, entry))
        return content
    except json.JSONDecodeError as error:
        problems.add("unreadable label", path, f"broken JSON: {error.msg}", error.lineno)
    except (OSError, ValueError) as error:
        problems.add("unreadable label", path, str(error))
    return None


def _entries(text: str) -> Iterator[tuple[str, int, Any]]:
    """Yield section, line and value of each entry of the three lists. Python's own parser does not report lines."""
    if not isinstance(json.loads(text), dict):  # raises for broken JSON, so the loop below needs no checks
        raise ValueError("it is no JSON object")
    decode = json.JSONDecoder().raw_decode
    place = _after_gap(text, 0)
    line, counted = 1, 0
    place = _after_gap(text, place + 1)
    while text[place] == '"':
        key, place = decode(text, place)
        place = _after_gap(text, place)
        if key not in SECTIONS or text[place] != "[":
            place = _after_gap(text, decode(text, place)[1])
            continue
        place = _after_gap(text, place + 1)
        while text[place] != "]":
            line, counted = line + text.count("\n", counted, place), place
            entry, end = decode(text, place)
            yield key, line, entry
            place = _after_gap(text, end)
        place = _after_gap(text, place + 1)


def _after_gap(text: str, place: int) -> int:
    found = GAP.match(text, place)
    return found.end() if found else place


def _labelled(path: Path, content: Content, pictures: Pictures, problems: Problems) -> Iterator[Labelled]:
    labels = {entry.get("id"): str(entry.get("name")) for _, entry in content.categories if isinstance(entry, dict)}
    images: dict[Any, Listed] = {}
    for line, entry in content.images:
        fault = _fault(entry) or ("its id is taken" if entry["id"] in images else None)
        if fault:
            problems.add("malformed line", path, f"image: {fault}", line)
        else:
            images[entry["id"]] = Listed(line, entry["file_name"], _size(entry))
    for line, entry in content.annotations:
        try:
            image, row = _row(entry, labels, line)
            listed = images.get(image)
        except (ValueError, TypeError, KeyError) as error:
            problems.add("malformed line", path, f"annotation: {error!r}", line)
            continue
        if listed:
            listed.rows.append(row)
        else:
            problems.add("label without picture", path, f"annotation of image {image!r}, which is not listed", line)
    yield from _found(path, images.values(), pictures, problems)


def _found(path: Path, images: Iterable[Listed], pictures: Pictures, problems: Problems) -> Iterator[Labelled]:
    for one in images:
        picture = pictures.find(one.file)
        if picture is None:
            problems.add("missing picture", path, f"{one.file} is not there", one.line)
        else:
            yield Labelled(without_suffix(one.file), picture, path, tuple(one.rows), pixels=True, size=one.size)


def _fault(entry: Any) -> str | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), int | str):
        return "it has no id"
    return None if isinstance(entry.get("file_name"), str) else "it has no file_name"


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    width, height = entry.get("width"), entry.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _row(entry: Any, labels: dict[Any, str], line: int) -> tuple[Any, Row]:
    x, y, width, height = (number(value) for value in entry["bbox"])
    label = labels.get(entry["category_id"], f"category {entry['category_id']}")
    ignored = bool(entry.get("iscrowd") or entry.get("ignore"))
    return entry["image_id"], Row(label, (x, y, x + width, y + height), line, ignored)


def write(folder: Path, samples: Iterable[Sample]) -> None:
    """Write images/ and annotations.json with one entry a line."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    licences: list[str] = []
    for number_of_image, sample in enumerate(samples, start=1):
        licences += [sample.licence] if sample.licence not in licences else []
        size = {"width": sample.width, "height": sample.height, "license": licences.index(sample.licence) + 1}
        images.append({"id": number_of_image, "file_name": save(folder / "images", sample)} | size)
        for box in _annotations(sample):
            annotations.append({"id": len(annotations) + 1, "image_id": number_of_image} | box)
    sections = {
        "licenses": [{"id": i, "name": name, "url": ""} for i, name in enumerate(licences, start=1)],
        "categories": [{"id": i, "name": name, "supercategory": "vehicle"} for i, name in enumerate(CLASSES, start=1)],
        "images": images,
        "annotations": annotations,
    }
    lists = (f'"{name}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]" for name, rows in sections.items())
    (folder / "annotations.json").write_text("{" + ",\n".join(lists) + "}\n", encoding="utf-8")


def _annotations(sample: Sample) -> Iterator[dict[str, Any]]:
    for (x0, y0, x1, y1), kind, ignored in zip(in_pixels(sample), sample.classes, sample.ignored, strict=True):
        box = [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)]
        yield {"category_id": int(kind) + 1, "bbox": box, "area": round(box[2] * box[3], 3), "iscrowd": int(ignored)}
