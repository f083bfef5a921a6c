"""Small videos for tests; every picture carries its own number, so that order and rotation can be checked."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.records import Image

WIDTH, HEIGHT = 160, 120
_BITS = 8

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg (apt install ffmpeg)")


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> Image:
    """Return uint8 (height, width, 3): the lowest eight bits of `number` as black and white columns, lowest left."""
    bits = (number >> np.arange(_BITS)) & 1
    row = np.repeat(bits.astype(np.uint8) * 255, width // _BITS)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, len(row), 3)))


def number_of(image: Image) -> int:
    """Return the number in a `picture` of any size, even after compression."""
    columns = image.shape[1] // _BITS
    middle = image[image.shape[0] // 2, columns // 2 :: columns, 1]
    return int(((middle[:_BITS] > 127).astype(int) << np.arange(_BITS)).sum())


def write_video(path: Path, numbers: Iterable[int], rate: float = 25.0, codec: str = "mp4v") -> Path:
    """Write a video of these pictures at a constant rate."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in numbers:
        writer.write(picture(number))
    writer.release()
    return path


def ffmpeg(source: Path, *arguments: str, to: Path, start: float = 0.0) -> Path:
    """Take `source` from `start`, s, on through ffmpeg with these arguments."""
    command = ["ffmpeg", "-loglevel", "error", "-y", "-ss", str(start), "-i", str(source), *arguments, str(to)]
    subprocess.run(command, check=True, timeout=30)
    return to


def cut_off(source: Path, share: float, to: Path) -> Path:
    """Write the first `share` of a file, like a copy that broke off."""
    data = source.read_bytes()
    to.write_bytes(data[: int(len(data) * share)])
    return to
