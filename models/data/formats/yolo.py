"""Read and write YOLO text labels: images/NAME.jpg beside labels/NAME.txt, or both in one folder.

A line is `class centre_x centre_y width height` in 0..1, or, as in segmentation labels, a class and a polygon, whose
bounding box is used. Class names stand in classes.txt (one a line) or as `names` in data.yaml, in the folder or above.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import yaml

from models.data.errors import UsageError
from models.data.formats import Labelled, Row, number, pictures_below, save
from models.data.problems import Problems
from models.data.samples import CLASSES, Sample

NAMES: Final = ("classes.txt", "data.yaml", "obj.names")
LISTS: Final = (
    *("train.txt", "valid.txt", "val.txt", "test.txt", "train_val.txt"),
    *("README.dataset.txt", "README.roboflow.txt"),
)
"""Files of the same ending beside the labels, in archives of CVAT and Roboflow."""
BOX, POLYGON = 5, 7


def read(root: Path, pictures_in: Path, problems: Problems) -> Iterator[Labelled]:
    """Yield all labelled pictures of a folder. Raises UsageError: without class names."""
    names = _class_names(root)
    images = pictures_in / "images" if (pictures_in / "images").is_dir() else pictures_in
    labels = root / "labels" if (root / "labels").is_dir() else root
    pictures = pictures_below(images)
    for name, picture in pictures.items():
        path = labels / f"{name}.txt"
        if not path.is_file():
            problems.add("picture without label", picture, f"there is no {path.name}; an empty one says: no vehicles")
            continue
        rows = _rows(path, names, problems)
        if rows is not None:
            yield Labelled(name, picture, path, rows, pixels=False)
    for path in sorted(labels.rglob("*.txt")):
        if path.relative_to(labels).with_suffix("").as_posix() not in pictures and path.name not in (*NAMES, *LISTS):
            problems.add("label without picture", path, "there is no picture of this name")


def _class_names(root: Path) -> list[str]:
    for path in (folder / name for folder in (root, root.parent) for name in NAMES):
        if path.is_file():
            return _names_in(path)
    raise UsageError(f"{root} has no classes.txt or data.yaml, nor has the folder above: nothing names the classes.")


def _names_in(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8")
        if path.suffix != ".yaml":
            return [line.strip() for line in text.splitlines() if line.strip()]
        names = yaml.safe_load(text)["names"]
        return [str(names[i]) for i in (sorted(names) if isinstance(names, dict) else range(len(names)))]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} does not name the classes: {error}.") from error


def _rows(path: Path, names: Sequence[str], problems: Problems) -> tuple[Row, ...] | None:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.add("unreadable label", path, str(error))
        return None
    rows = []
    for number_of_line, line in enumerate(lines, start=1):
        try:
            rows += [_row(line.split(), names, number_of_line)] if line.strip() else []
        except ValueError as error:
            problems.add("malformed line", path, str(error), number_of_line)
    return tuple(rows)


def _row(fields: list[str], names: Sequence[str], line: int) -> Row:
    if not fields[0].isdecimal():
        raise ValueError(f"{fields[0]!r} is no class number")
    index, values = int(fields[0]), [number(text) for text in fields[1:]]
    label = names[index] if index < len(names) else f"class {index}"
    if len(fields) == BOX:
        x, y, width, height = values
        return Row(label, (x - width / 2, y - height / 2, x + width / 2, y + height / 2), line)
    if len(fields) >= POLYGON and len(fields) % 2:
        xs, ys = values[::2], values[1::2]
        return Row(label, (min(xs), min(ys), max(xs), max(ys)), line)
    raise ValueError(f"{len(fields)} fields, where a box has {BOX} and a polygon an odd number from {POLYGON}")


def write(folder: Path, samples: Iterable[Sample]) -> None:
    """Write images/, labels/ and classes.txt.

    The format cannot say that a box of another class than `other` is ignored.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    for sample in samples:
        save(folder / "images", sample)
        labels = folder / "labels" / f"{sample.name}.txt"
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("".join(_lines(sample)), encoding="utf-8")


def _lines(sample: Sample) -> Iterator[str]:
    for (x0, y0, x1, y1), kind in zip(sample.boxes.astype(float).tolist(), sample.classes.tolist(), strict=True):
        yield f"{kind} {(x0 + x1) / 2:.7f} {(y0 + y1) / 2:.7f} {x1 - x0:.7f} {y1 - y0:.7f}\n"
