"""Make annotated pictures for tests: coarse noise, so that no two look alike unless they should."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from models.data import fingerprints, importing, mapping
from models.data.commands import READERS
from models.data.problems import Problems
from models.data.samples import OTHER, Sample, digest
from models.data.shards import Entry
from models.data.sources import Source, one

MINE = (one("the tests", "MIT", None, "each"),)


def encoded(seed: int, width: int = 64, height: int = 36, suffix: str = ".jpg", light: float = 1.0) -> bytes:
    """Return an encoded picture; the same seed gives the same scene, in whatever size, format or light."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 16, 3)).astype(np.float32) * np.float32(light)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    done, data = cv2.imencode(suffix, picture)
    assert done
    return data.tobytes()


def sample(
    name: str = "a",
    seed: int = 1,
    boxes: Sequence[Sequence[float]] = (),
    classes: Sequence[int] = (),
    ignored: Sequence[bool] | None = None,
    camera: str = "",
    size: tuple[int, int] = (64, 36),
) -> Sample:
    """Return a valid sample. boxes: in 0..1."""
    image = encoded(seed, *size)
    kinds = np.array(classes, np.int16)
    out = kinds == OTHER if ignored is None else np.array(ignored, np.bool_) | (kinds == OTHER)
    table = np.array(boxes, np.float32).reshape(-1, 4)
    info = fingerprints.inspect(image)
    aspect = round(size[0] / size[1], 6)
    known = (digest(image), "the tests", "MIT", camera or name, info.fingerprint)
    return Sample(name, image, info.width, info.height, aspect, table, kinds, out, *known)


def entry(name: str, camera: str, fingerprint: str = "") -> Entry:
    """Return a picture as the index has it."""
    return Entry(name, name, camera, "the tests", "MIT", 64, 36, 16 / 9, fingerprint, {"car": 1}, 0, "part-00000")


def yolo_set(root: Path, labels: dict[str, str], classes: str = "car\nmotorcycle\nbus\ntruck\nother\n") -> Path:
    """Write a YOLO folder with one picture for each label text. Return the folder."""
    for seed, (name, text) in enumerate(labels.items(), start=1):
        for kind in ("images", "labels"):
            (root / kind / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "images" / f"{name}.jpg").write_bytes(encoded(seed))
        (root / "labels" / f"{name}.txt").write_text(text)
    (root / "classes.txt").write_text(classes)
    return root


def kinds(problems: Problems) -> list[tuple[str, int | None]]:
    """Return kind and line of every problem."""
    return [(problem.kind, problem.line) for problem in problems.found]


def imported(
    kind: str, folder: Path, sources: tuple[Source, ...] = MINE, *classes: str
) -> tuple[list[Sample], Problems]:
    """Import a folder or a file. Return its samples, and what was wrong.

    kind: the label format. classes: options THEIRS=OURS.
    """
    problems = Problems()
    labelled = READERS[kind](folder, folder if folder.is_dir() else folder.parent, problems)
    pending = importing.gather(labelled, sources, mapping.class_mapping(classes), problems)
    return list(importing.samples(pending)), problems
