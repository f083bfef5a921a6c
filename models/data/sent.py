"""Remember which pictures went to a labelling program with which labels, so that what comes back can be merged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.common.files import json_rows, replace_file
from models.data.boxes import Boxes, as_rows, of_rows, of_sample
from models.data.errors import UsageError
from models.data.formats import suffix_of
from models.data.samples import Sample

SCHEMA: Final = "edge-app/sent/1"
FILE: Final = "sent.json"


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture as it was sent. file: its name there. labels: those that it had."""

    file: str
    sha256: str
    labels: Boxes


@dataclass(frozen=True, slots=True)
class Sent:
    """All that was sent. files: file name of a picture -> its sha256. labels: sha256 -> the labels that it had."""

    files: Mapping[str, str]
    labels: Mapping[str, Boxes]


def picture(sample: Sample) -> Picture:
    """Return what is remembered of a sample."""
    return Picture(f"{sample.name}{suffix_of(sample.image)}", sample.sha256, of_sample(sample))


def write(folder: Path, pictures: Iterable[Picture]) -> None:
    """Write sent.json. Raises OSError: when it cannot be written."""
    rows = [{"file": one.file, "sha256": one.sha256, "labels": as_rows(one.labels)} for one in pictures]
    replace_file(folder / FILE, json_rows({"schema": SCHEMA}, "pictures", rows))


def read(path: Path) -> Sent:
    """Return what a sent.json, or the one in a folder, says. Raises UsageError: when it is none."""
    path = path / FILE if path.is_dir() else path
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        rows = content["pictures"]
        files = {str(row["file"]): str(row["sha256"]) for row in rows}
        return Sent(files, {str(row["sha256"]): of_rows(row["labels"]) for row in rows})
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; `doubtful` writes it.") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"{path} is not the {FILE} that `doubtful` wrote: {error!r}.") from error
