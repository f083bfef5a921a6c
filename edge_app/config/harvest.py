"""Model of the table [harvest]: frames that are stored on the device for labelling."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edge_app.config.types import FilePath, Table


class HarvestConfig(Table):
    """Frames on which detector and tracker disagree, stored on this device for people to label. Off by default:
    pictures of a road are personal data in most countries."""

    enabled: bool = Field(default=False, description="Store frames.")
    folder: FilePath = Field(
        default=Path("harvest"),
        description="Folder for these frames only; readable by this user alone.",
        validate_default=True,
    )
    every_s: float = Field(default=60.0, ge=1, le=86_400, description="At most one frame in this many seconds.")
    frames_per_day: int = Field(default=100, ge=1, le=10_000, description="Largest number of frames on one day (UTC).")
    mb_per_day: float = Field(default=50.0, gt=0, le=10_000, description="Largest size of the frames of one day, MB.")
    expire_days: int = Field(default=30, ge=1, le=365, description="Frames are deleted after this many days.")
    keep_free_mb: float = Field(
        default=500.0, ge=0, description="No frame is stored while the disk has less free space, MB."
    )
    longest_side: int = Field(
        default=1280, ge=160, le=8192, description="Longest side of a stored frame, px; larger frames are scaled down."
    )
