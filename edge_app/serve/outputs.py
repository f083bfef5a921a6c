"""Write the boxes of many pictures: JSON, CSV, or YOLO labels that `models.data` reads; and keep them meanwhile."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from edge_app.errors import ConfigError, StoreError, reason_of
from edge_app.records import VEHICLES
from edge_app.serve.answers import Box, NamedAnswer, Prediction
from edge_app.system.files import write_atomic

Kind = Literal["json", "csv", "yolo"]
HEADER: Final = ("picture", "class", "score", "x0", "y0", "x1", "y1", "width", "height")


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture to look at. name: its name in the outputs, relative and unique. size: bytes. changed_ns: mtime."""

    name: str
    path: Path
    size: int
    changed_ns: int


def kind_of(out: Path) -> Kind:
    """Return the format that a path asks for. Raises ConfigError: when it names none."""
    if out.suffix.lower() in (".json", ".csv") and not out.is_dir():
        return "json" if out.suffix.lower() == ".json" else "csv"
    if out.is_dir() or not out.suffix:
        return "yolo"
    raise ConfigError(f"--out {out}: name a .json or .csv file, or a folder for YOLO labels")


def label_path(folder: Path, name: str) -> Path:
    """Return where the YOLO labels of a picture are written. name: that of its `PictureFile`."""
    return (folder / "labels" / name).with_suffix(".txt")


def drawn_path(folder: Path, name: str) -> Path:
    """Return where a picture with its boxes is written, which is a JPEG. name: that of its `PictureFile`."""
    return folder / (name if name.lower().endswith((".jpg", ".jpeg")) else f"{name}.jpg")


def part_of(out: Path) -> Path:
    """Return where the journal of an output is kept. Raises ConfigError: for a path that has nothing beside it."""
    named = out if out.name and out.name != ".." else Path(os.path.realpath(out))
    if not named.name:
        raise ConfigError(f"--out {out}: name a folder in it")
    return named.with_name(f"{named.name}.part")


def write(out: Path, answers: Sequence[NamedAnswer]) -> None:
    """Write the answers in the format that the path asks for; a picture with a problem has no boxes in CSV and YOLO.

    Raises ConfigError, and OSError: when it cannot be written.
    """
    kind = kind_of(out)
    if kind == "json":
        write_atomic(out, json_text(answers))
    elif kind == "csv":
        write_atomic(out, csv_text(answers))
    else:
        _write_yolo(out, answers)


def json_text(answers: Sequence[NamedAnswer]) -> str:
    """Return schema edge-app/boxes/1: every picture with its prediction or its problem."""
    pictures = [answer.model_dump(mode="json", exclude_none=True) for answer in answers]
    return json.dumps({"schema": "edge-app/boxes/1", "pictures": pictures}, indent=1) + "\n"


def csv_text(answers: Sequence[NamedAnswer]) -> str:
    """Return CSV by RFC 4180 with HEADER as the first line and a row for each box."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for name, prediction in _predictions(answers):
        for box in prediction.boxes:
            writer.writerow((name, box.label, box.score, *box.px, prediction.width, prediction.height))
    return text.getvalue()


def _write_yolo(folder: Path, answers: Sequence[NamedAnswer]) -> None:
    """Write labels/NAME.txt and classes.txt; a file without lines says that a picture shows no vehicle."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "classes.txt", "\n".join(VEHICLES) + "\n")
    for name, prediction in _predictions(answers):
        path = label_path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(_yolo_line(box) for box in prediction.boxes), "utf-8")


def _yolo_line(box: Box) -> str:
    x0, y0, x1, y1 = box.relative
    centre_and_size = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    return f"{VEHICLES.index(box.label)} {' '.join(f'{value:.7f}' for value in centre_and_size)}\n"


def _predictions(answers: Iterable[NamedAnswer]) -> Iterator[tuple[str, Prediction]]:
    return ((answer.name, answer.prediction) for answer in answers if answer.prediction is not None)


class Journal:
    """Answers of a run that is not over, so that the same command goes on where it was stopped.

    path: beside the output; a JSON line for each picture behind a first one with the settings. settings: what changes
    an answer; a journal of others is begun anew. A context manager: `done` removes the file.
    Raises StoreError: when it cannot be written.
    """

    def __init__(self, path: Path, settings: dict[str, object]) -> None:
        self._path, self._settings = path, json.dumps(settings, sort_keys=True)
        self._known = self._read()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a" if self._known else "w", encoding="utf-8")
            if not self._known:
                self._file.write(self._settings)
            self._file.write("\n")  # ends a line that a stop cut off
        except OSError as error:
            raise _unwritable(path, error) from error

    def known(self, picture: PictureFile) -> NamedAnswer | None:
        """Return the answer of an earlier run about this very file."""
        return self._known.get(_key(picture))

    def add(self, picture: PictureFile, answer: NamedAnswer) -> None:
        """Keep an answer. Raises StoreError."""
        line = json.dumps({"key": _key(picture), "answer": answer.model_dump(mode="json", exclude_none=True)})
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def done(self) -> None:
        """Remove the file: the output holds everything."""
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read(self) -> dict[str, NamedAnswer]:
        try:
            first, *lines = self._path.read_text("utf-8", errors="replace").splitlines() or [""]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unwritable(self._path, error) from error
        return dict(_entries(lines)) if first == self._settings else {}


def _entries(lines: Iterable[str]) -> Iterator[tuple[str, NamedAnswer]]:
    for line in lines:
        try:
            entry = json.loads(line)
            yield str(entry["key"]), NamedAnswer.model_validate(entry["answer"])
        except (ValueError, ValidationError, TypeError, KeyError):
            continue  # cut off by a stop: that picture is looked at again


def _key(picture: PictureFile) -> str:
    return f"{picture.size} {picture.changed_ns} {picture.name}"


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot write {path}: {reason_of(error)}; choose another folder for --out")
