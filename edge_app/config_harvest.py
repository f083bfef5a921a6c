"""The [harvest] table: frames kept on the device for labelling, and what keeps them private."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from edge_app.config_types import FilePath, Point, Table


def _has_area(mask: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    xs, ys = {x for x, _ in mask}, {y for _, y in mask}
    if len(xs) < 2 or len(ys) < 2:
        raise ValueError("a mask must have an area: two opposite corners of a rectangle, or the corners of a polygon")
    return mask


Mask = Annotated[tuple[Point, ...], Field(strict=False, min_length=2, max_length=100), AfterValidator(_has_area)]


class HarvestConfig(Table):
    """Frames on which detector and tracker disagree, kept on this device for people to label. Off by default: pictures
    of a road are personal data in most countries."""

    enabled: bool = Field(default=False, description="Keep frames.")
    folder: FilePath = Field(
        default=Path("harvest"),
        description="A folder for nothing else; readable by this user alone.",
        validate_default=True,
    )
    every_s: float = Field(default=60.0, ge=1, le=86_400, description="At most one frame in so many seconds.")
    frames_per_day: int = Field(default=100, ge=1, le=10_000, description="No more frames on one day (UTC).")
    mb_per_day: float = Field(default=50.0, gt=0, le=10_000, description="No more MB on one day.")
    expire_days: int = Field(default=30, ge=1, le=365, description="Deleted after so many days.")
    keep_free_mb: float = Field(default=500.0, ge=0, description="Nothing is kept when the disk has less free, MB.")
    longest_side: int = Field(default=1280, ge=160, le=8192, description="Frames are made no larger, px.")
    masks: Annotated[tuple[Mask, ...], Field(strict=False)] = Field(
        default=(),
        description="Blackened before anything is written: [[x, y], [x, y]] is a rectangle, more points are a polygon, "
        "in 0..1 of the picture.",
    )
