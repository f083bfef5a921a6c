"""Map a source's class names to ours."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from models.data.errors import DataError, UsageError
from models.data.formats import DOUBT
from models.data.samples import CLASSES

SKIP: Final = "-"
"""Boxes of a class mapped to this are left out on purpose: they are no counted vehicles and no regions to ignore."""
USUAL: Final[Mapping[str, str]] = {
    **{label: label for label in CLASSES},
    **dict.fromkeys(("taxi", "suv", "pickup", "van", "sedan", "automobile"), "car"),
    **dict.fromkeys(("motorbike", "motorcyclist", "scooter", "moped"), "motorcycle"),
    **dict.fromkeys(("coach", "minibus"), "bus"),
    **dict.fromkeys(("lorry",), "truck"),
    **dict.fromkeys(("cyclist", "bicyclist", "pushbike", "pedal-cycle"), "bicycle"),
    **dict.fromkeys(("ignore", "ignored", "ignore-region", "dontcare", "dont-care", "unknown-vehicle"), "other"),
    **dict.fromkeys(("three-wheeler", "auto-rickshaw", "rickshaw", "tricycle", "tuk-tuk", "tractor"), "other"),
    DOUBT: SKIP,
}


def normalised(name: str) -> str:
    """Return a class name in lower case with hyphens: "Auto_Rickshaw" and "auto rickshaw" are one class."""
    return "-".join(name.lower().replace("_", " ").replace("-", " ").split())


def class_mapping(options: Sequence[str], file: Path | None = None) -> Mapping[str, str]:
    """Return normalised class names of sources -> ours.

    Options THEIRS=OURS go before a JSON file {"theirs": "ours"}, and that before the usual names.
    Raises UsageError: when an option or the file is wrong.
    """
    pairs = list(_in_file(file).items()) if file else []
    for option in options:
        theirs, sign, ours = option.rpartition("=")
        if not sign or not theirs:
            raise UsageError(f"--class {option!r} is not THEIRS=OURS, as in van=car or person={SKIP}.")
        pairs.append((theirs, ours))
    for theirs, ours in pairs:
        if ours not in (*CLASSES, SKIP):
            raise UsageError(f"{theirs}={ours}: our classes are {', '.join(CLASSES)}, and {SKIP} leaves one out.")
    return {**USUAL, **{normalised(theirs): ours for theirs, ours in pairs}}


def refuse_unmapped(found: Mapping[str, int]) -> None:
    """Refuse class names that nobody knows: their vehicles would be taught as background.

    found: class name -> number of boxes. Raises DataError: with what to write for each.
    """
    if not found:
        return
    says = [f"{name!r} ({count} boxes{_like(name)})" for name, count in sorted(found.items(), key=lambda row: -row[1])]
    first = next(iter(found))
    raise DataError(
        "Nothing was written, for boxes of an unknown class would be taught as background: "
        f"{', '.join(says)}. Map each with --class: '{first}=car' or another of {', '.join(CLASSES)}; other is ignored "
        f"in training and score, and '{first}={SKIP}' leaves the boxes out, for what is no vehicle."
    )


def _like(name: str) -> str:
    near = difflib.get_close_matches(normalised(name), USUAL, n=1, cutoff=0.7)
    return f", did you mean {near[0]}?" if near else ""


def _in_file(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError('it is not an object {"theirs": "ours"}')
        return {str(theirs): str(ours) for theirs, ours in content.items()}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no list of classes: {error}.") from error
