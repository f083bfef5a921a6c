"""Choose the pictures that calibrate, and bring pictures to the model's size.

Calibration needs pictures like those that a device will see; a labelled picture that later evaluates the result never
calibrates.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_app.records import FloatArray, Image
from models.common.errors import BuildError
from models.conversion.anchors import Size
from models.conversion.manifest import PAD

ROOT: Final = Path(__file__).resolve().parents[2]
SUFFIXES: Final = (".jpg", ".jpeg", ".png")
STRETCHED: Final = ("luongduc__", "hanoi__", "itsqal__")
"""Name prefixes of pictures that are 16:9 frames squeezed into a square."""
WIDE: Final = 16 / 9
GAMMAS: Final = (0.45, 2.2)
"""Exponents of the bright and the dark variant of a picture: glare, and dusk."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Labels of a picture.

    boxes: float32 (N, 4), x0 y0 x1 y1 in 0..1 of width and height. classes: N class numbers.
    """

    boxes: FloatArray
    classes: tuple[int, ...]


def shared_folder(part: str) -> Path:
    """Return the folder detection/`part` of the shared data, in $EDGE_APP_SHARED or in ../shared beside the project."""
    return Path(os.environ.get("EDGE_APP_SHARED", ROOT.parent / "shared")) / "detection" / part


def find(folder: Path) -> list[Path]:
    """Return all pictures of a folder, or of its `images`, sorted by name. Raises BuildError: when there are none."""
    inner = folder / "images"
    start = inner if inner.is_dir() else folder
    found = sorted(p for p in start.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        ours = "; this project's own are not published" if start.is_relative_to(shared_folder("")) else ""
        raise BuildError(
            f"There are no pictures ({', '.join(SUFFIXES)}) in {start}{ours}: name a folder of yours with --images."
        )
    return found


def spread(paths: Sequence[Path], count: int, skip: int = 0) -> list[Path]:
    """Return `count` pictures after the first `skip`, in an order that depends on their names alone."""
    ordered = sorted(paths, key=lambda p: hashlib.sha256(p.name.encode()).digest())
    return ordered[skip : skip + count]


def fingerprint(paths: Sequence[Path]) -> str:
    """Return the sha256 over the names of a list of pictures, in its order."""
    return hashlib.sha256("\n".join(p.name for p in paths).encode()).hexdigest()


def load(path: Path) -> Image:
    """Return a picture as uint8 (H, W, 3) BGR in its true shape. Raises BuildError: when the file is no picture."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise BuildError(f"{path} is not a readable picture.")
    height, width = image.shape[:2]
    if path.name.startswith(STRETCHED) and width == height:
        image = cv2.resize(image, (round(height * WIDE), height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(image, np.uint8)


def letterbox(image: Image, size: Size) -> Image:
    """Return a picture (H, W, 3) BGR as RGB uint8 (size.height, size.width, 3), aspect kept, centred on grey."""
    height, width = image.shape[:2]
    scale = min(size.width / width, size.height / height)
    inner = Size(max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (size.width - inner.width) // 2, (size.height - inner.height) // 2
    canvas = np.full((size.height, size.width, 3), PAD, np.uint8)
    small = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas[top : top + inner.height, left : left + inner.width] = small[..., ::-1]
    return canvas


def relit(image: Image, gamma: float) -> Image:
    """Return a uint8 picture brighter (gamma < 1) or darker (gamma > 1)."""
    table = (np.linspace(0, 1, 256) ** gamma * 255).round().astype(np.uint8)
    return np.asarray(table[image], np.uint8)


def scaled(image: Image) -> FloatArray:
    """Return a uint8 picture (H, W, 3) as float32 (1, H, W, 3) in [-1, 1], as the source graph's Preprocessor does."""
    return np.asarray(image.astype(np.float32)[None] * np.float32(2 / 255) - np.float32(1), np.float32)


def calibration(paths: Sequence[Path], size: Size, relight: bool) -> Iterator[FloatArray]:
    """Yield representative inputs, float32 (1, H, W, 3) in [-1, 1].

    A black and a white pixel in every one make the input's range exactly [-1, 1], so that a raw byte is its quantised
    value. Artificial pictures do not belong here: a half black, half white one widened the range of the deep residual
    sums fivefold and cost as much accuracy as all the rest of the quantisation.
    relight: add a bright variant of every fourth picture and a dark one of every fourth.
    """
    for index, path in enumerate(paths):
        image = load(path)
        gammas = (1.0, GAMMAS[index % 4]) if relight and index % 4 < len(GAMMAS) else (1.0,)
        for gamma in gammas:
            sample = scaled(letterbox(relit(image, gamma), size))
            sample[0, 0, 0], sample[0, 0, 1] = -1, 1
            yield sample


def truth(path: Path) -> Truth:
    """Return the YOLO labels beside a picture (images/NAME.jpg, labels/NAME.txt).

    Raises BuildError: when they are missing or are no label file.
    """
    labels = path.parent.parent / "labels" / f"{path.stem}.txt"
    try:
        rows = [[float(v) for v in line.split()] for line in labels.read_text().splitlines() if line.strip()]
        table = np.array(rows, np.float32).reshape(-1, 5)
    except (OSError, ValueError) as error:
        raise BuildError(f"{labels} is missing or no label file: {error}.") from error
    half = table[:, 3:] / 2
    return Truth(np.concatenate([table[:, 1:3] - half, table[:, 1:3] + half], 1), tuple(int(c) for c in table[:, 0]))
