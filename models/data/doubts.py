"""Prepare the pictures with labels in doubt, as a report lists them, for a person in a labelling program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.common.geometry import iou_matrix
from models.data.errors import UsageError
from models.data.formats import Place, Shown
from models.data.report.suspects import APART, KINDS, TWICE, Suspect
from models.data.samples import CLASSES, Sample

REPORT: Final = "report.json"
NEAR: Final = 1e-4
"""Share of the picture's side up to which a suspect's box is the label's: a report rounds."""


def read_suspects(report: Path) -> list[Suspect]:
    """Return the suspects of a report, its folder or its report.json. Raises UsageError: when there is none."""
    path = report / REPORT if report.is_dir() else report
    try:
        return [_suspect(row) for row in json.loads(path.read_text("utf-8"))["suspects"]]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; `report` writes it.") from error
    except KeyError as error:
        raise UsageError(f"{path} lacks {error}: make the report again.") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no report of labels: {error}.") from error


def _suspect(row: Mapping[str, Any]) -> Suspect:
    x0, y0, x1, y1 = (float(value) for value in row["box"])
    if row["kind"] not in KINDS:
        raise ValueError(f"it knows a kind of doubt that is none: {row['kind']!r}")
    texts = (row["kind"], row["name"], row["origin"], row["camera"])
    return Suspect(*texts, (x0, y0, x1, y1), row["label"], row["seen"], float(row["weight"]), row["sha256"])


def chosen(suspects: Iterable[Suspect], known: Iterable[str], kinds: Sequence[str], most: int) -> list[list[Suspect]]:
    """Return the suspects of each picture, the pictures with the surest ones first.

    known: sha256 of the pictures of the set; others are left out. kinds: of doubts. most: pictures.
    """
    pictures: dict[str, list[Suspect]] = {}
    own = frozenset(known)
    for suspect in sorted(suspects, key=lambda one: (-one.weight, one.name)):
        if suspect.sha256 in own and suspect.kind in kinds:
            pictures.setdefault(suspect.sha256, []).append(suspect)
    return list(pictures.values())[:most]


def holds(suspect: Suspect, sample: Sample) -> bool:
    """Return True when the labels of the picture are still such that the suspect is in question."""
    near = iou_matrix(np.array([suspect.box], np.float32), sample.boxes)[0]
    if suspect.label is None:
        return bool(near.max(initial=0) < APART)
    alone = suspect.kind == "double label" and (near >= TWICE).sum() <= 1
    return not alone and _place(suspect, sample) is not None


def _place(suspect: Suspect, sample: Sample) -> int | None:
    """Return the index of the label that a suspect is about, None when it is there no longer."""
    exact = np.abs(sample.boxes - np.array(suspect.box, np.float32)).max(axis=1, initial=0) <= NEAR
    here = np.flatnonzero(exact & (sample.classes == CLASSES.index(suspect.label or "")))
    return int(here[0]) if len(here) else None


def shown(sample: Sample, suspects: Iterable[Suspect]) -> Shown:
    """Return a picture with what is suspected in it. suspects: those of it that hold."""
    says: list[list[str]] = [[] for _ in sample.boxes]
    places = []
    for suspect in suspects:
        index = None if suspect.label is None else _place(suspect, sample)
        if index is None:
            places.append(Place(suspect.box, text(suspect)))
        else:
            says[index].append(text(suspect))
    return Shown(sample, tuple("; ".join(texts) for texts in says), tuple(places))


def text(suspect: Suspect) -> str:
    """Return what is suspected, as a person reads it in the labelling program."""
    seen = f": {suspect.seen}" if suspect.seen else ""
    return f"{suspect.kind}{seen} {suspect.weight:.2f}"
