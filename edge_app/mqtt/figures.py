"""Figures of a quarter of an hour, as `health` tells them: of the program, of the picture, of what the detector finds.

Each is null where nothing was measured. The descriptions say what each is, and the city shows them by these names.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

_CONFIG = ConfigDict(frozen=True, extra="allow", json_schema_serialization_defaults_required=True)


class Percentiles(BaseModel):
    """Median and 95th percentile."""

    model_config = _CONFIG

    p50: float = Field(description="ms")
    p95: float = Field(description="ms")


class SoftwareFigures(BaseModel):
    """How the program runs."""

    model_config = _CONFIG

    frames_per_s: float | None = Field(description="Frames that were processed, on average")
    dropped_share: float | None = Field(ge=0, le=1, description="Of the frames that came, those never processed")
    stages_ms: Mapping[str, Percentiles] = Field(
        description="Time for a frame by stage, of the last thousand: motion, detect, track, count, latency (all)"
    )
    unsent: int | None = Field(ge=0, description="Most intervals that waited for the broker")
    memory_mb: float | None = Field(description="Largest memory of the program")
    temperature_c: float | None = Field(description="Highest, of the processor")
    throttled_share: float | None = Field(ge=0, le=1, description="Of the looks at it, those that found it slowed down")
    disk_free_mb: float | None = Field(description="Least, where counts are stored")
    starts: int = Field(ge=0, description="Times in the 24 hours before its end that counting has begun")


class InputFigures(BaseModel):
    """What the camera sees."""

    model_config = _CONFIG

    brightness: float | None = Field(description="Of the picture, 0 to 255, median")
    contrast: float | None = Field(description="Grey levels, where something is to be seen, median")
    sharpness: float | None = Field(description="Fine detail where something is to be seen, median")
    noise: float | None = Field(description="Of the sensor, grey levels, median")
    shift: float | None = Field(description="Of the view from what was learnt, part of the frame; 0 unless moved")
    still_share: float | None = Field(ge=0, le=1, description="Of the frames, those in which nothing moved")
    empty_share: float | None = Field(ge=0, le=1, description="Of the frames, those without a vehicle on its way")


class OutputFigures(BaseModel):
    """What the detector and the tracker make of it."""

    model_config = _CONFIG

    detections: float | None = Field(description="For each frame that the network has searched")
    detection_score: float | None = Field(ge=0, le=1, description="Of detections, mean")
    size_px: float | None = Field(description="Root of the area of a vehicle's last box, px of the frame, median")
    track_s: float | None = Field(description="Length of tracks that have ended, median")
    died_share: float | None = Field(
        ge=0, le=1, description="Of those tracks, the ones that ended far from the border while driving"
    )
    fragment_share: float | None = Field(ge=0, le=1, description="Of those tracks, the ones that another continues")
    classes: Mapping[str, int] = Field(description="Crossings by class")
    directions: Mapping[str, int] = Field(description="Crossings by direction, all lines together")
    score: float | None = Field(ge=0, le=1, description="Of crossings, mean")
    doubtful_share: float | None = Field(ge=0, le=1, description="Of crossings, those of which the detector is unsure")


class Figures(BaseModel):
    """Figures of a quarter of an hour; `input` and `output` are null of one that no later frame has ended."""

    model_config = _CONFIG

    start: AwareDatetime = Field(description="On the grid of quarters, UTC; local time follows from meta.time_zone")
    software: SoftwareFigures = Field(description="How the program runs")
    input: InputFigures | None = Field(description="What the camera sees")
    output: OutputFigures | None = Field(description="What detector and tracker make of it")
