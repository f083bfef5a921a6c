"""Decide which cameras train, validate and test: by camera or scene, never by picture.

Frames of one camera share its background and often its vehicles; a split by picture would evaluate a detector on what
it has memorised. A near-duplicate in two parts is an error for the same reason.
"""

from __future__ import annotations

import fnmatch
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.common.schemas import SPLIT
from models.data.errors import DataError
from models.data.fingerprints import NEAR, near_pairs
from models.data.shards import Entry

PARTS: Final = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Split:
    """Names of cameras in each part. Raises DataError: when a camera is in two parts."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        everywhere = [camera for part in PARTS for camera in getattr(self, part)]
        twice = sorted({camera for camera in everywhere if everywhere.count(camera) > 1})
        if twice:
            raise DataError(f"Camera {twice[0]} is named twice in a split; a camera has one part.")

    def part(self, camera: str) -> str | None:
        """Return train, validation or test; None for a camera that the split does not know."""
        return next((part for part in PARTS if camera in getattr(self, part)), None)


def by_patterns(entries: Sequence[Entry], validation: Sequence[str], test: Sequence[str]) -> Split:
    """Return the split in which cameras that fit a pattern (with * and ?) are used for validation or testing.

    The others are used for training; a camera that fits patterns of both lists is used for testing.
    Raises DataError: when a pattern fits no camera.
    """
    cameras = sorted({entry.camera for entry in entries})
    testing = _fitting(cameras, test)
    validating = [camera for camera in _fitting(cameras, validation) if camera not in testing]
    rest = [camera for camera in cameras if camera not in testing and camera not in validating]
    return Split(tuple(rest), tuple(validating), tuple(testing))


def refuse_empty(split: Split, wanted: Sequence[str], share: float | None) -> None:
    """Refuse a split without pictures to train, or to validate by. Raises DataError: with what to do.

    wanted: patterns that chose cameras. share: asked for instead, None for none.
    """
    for part in ("train", "validation"):
        if not getattr(split, part):
            cameras = len(split.train) + len(split.validation) + len(split.test)
            asked = f"--share {share:g}" if share is not None else " ".join(wanted) or "no --validation"
            raise DataError(
                f"No camera is left for {part} ({cameras} camera{'s' * (cameras != 1)} in all, {asked}): a camera has "
                f"one part, so add pictures of another one, or name other cameras with --validation."
            )


def _fitting(cameras: Sequence[str], patterns: Sequence[str]) -> list[str]:
    found: set[str] = set()
    for pattern in patterns:
        fitting = fnmatch.filter(cameras, pattern)
        if not fitting:
            raise DataError(f"No camera fits {pattern!r}; there are {', '.join(cameras[:12])} ...")
        found.update(fitting)
    return sorted(found)


def by_share(entries: Sequence[Entry], validation: float, test: float, seed: int) -> Split:
    """Return a split of whole cameras at random, in which each part holds about its share (0..1) of the pictures.

    A part never exceeds its share by more than half a camera.
    """
    sizes: dict[str, int] = {}
    for entry in entries:
        sizes[entry.camera] = sizes.get(entry.camera, 0) + 1
    cameras = sorted(sizes)
    random.Random(seed).shuffle(cameras)
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    left_over = {"test": test * len(entries), "validation": validation * len(entries)}
    for camera in cameras:
        part = next((p for p, left in left_over.items() if left >= sizes[camera] / 2), "train")
        parts[part].append(camera)
        if part in left_over:
            left_over[part] -= sizes[camera]
    return Split(*(tuple(sorted(parts[part])) for part in PARTS))


def check(split: Split, entries: Sequence[Entry], bits: int = NEAR) -> None:
    """Check a split against the pictures.

    bits: differing bits up to which two pictures are near-duplicates.
    Raises DataError: when a camera has no part, a name occurs twice, or near-duplicates are in two parts, naming both.
    """
    lost = sorted({entry.camera for entry in entries if split.part(entry.camera) is None})
    if lost:
        raise DataError(f"The split does not know camera {lost[0]} ({len(lost)} such cameras).")
    seen: dict[str, Entry] = {}
    for entry in entries:
        if seen.setdefault(entry.name, entry) is not entry:
            raise DataError(f"Picture {entry.name} occurs twice; names are unique across all shards of a split.")
    parts = [split.part(entry.camera) for entry in entries]
    across = [p for p in near_pairs([e.fingerprint for e in entries], bits) if parts[p.first] != parts[p.second]]
    if across:
        worst = min(across, key=lambda pair: pair.bits)
        sides = [f"{entries[i].name} (camera {entries[i].camera}, {parts[i]})" for i in (worst.first, worst.second)]
        raise DataError(
            f"{sides[0]} and {sides[1]} are near-duplicates ({worst.bits} of 256 bits differ; {len(across)} such pairs "
            "across the split): give them one camera, or their cameras one part."
        )


def write(path: Path, split: Split, command: str) -> None:
    """Write the split as JSON, with the command that made it."""
    content = {"schema": SPLIT, "command": command} | {part: list(getattr(split, part)) for part in PARTS}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Split:
    """Return the split in a file. Raises DataError: when it is no split file."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["schema"] != SPLIT:
            raise ValueError(f"its schema is not {SPLIT}")
        return Split(*(tuple(map(str, content[part])) for part in PARTS))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no split file: {error}.") from error
