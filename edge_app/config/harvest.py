"""The [harvest] table: frames kept on the device for labelling."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edge_app.config.types import FilePath, Table


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
