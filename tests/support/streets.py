"""A small rendered street for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edge_app.drawing.video_file import VideoOut
from edge_app.sources.street.street import Street
from tests.support.reading import read_frame


def small_street(
    *,
    seed: int = 1,
    light: Literal["day", "dusk", "cycle"] = "day",
    flow: tuple[float, float] = (20.0, 20.0),
    seconds: float | None = None,
) -> Street:
    """Return a street of 640 x 360 px; see `Street`."""
    return Street(width=640, height=360, seed=seed, light=light, flow=flow, seconds=seconds)


def recorded_street(path: Path, seconds: int) -> Path:
    """Write a busy small street as a video and return its path."""
    street = small_street(seconds=seconds, flow=(40, 40))
    with VideoOut(path, street.status.rate, (640, 360)) as out:
        for _ in range(round(seconds * street.status.rate)):
            out.write(read_frame(street).image)
    return path
