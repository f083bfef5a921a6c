"""Payloads of what was counted: intervals, flows, single crossings, a candidate's counts, pictures for a review.

The models validate, and the JSON Schemas are generated from them (docs/mqtt.md). Subscribers may use them too: they
accept unknown keys, since version 1 of the contract may gain keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from pydantic import AwareDatetime, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from edge_app.mqtt.payload import Boot, Flag, Hash, Installation, Name, Number, Payload, Seconds, may_lack, not_given
from edge_app.records import Direction


class DirectionCounts(Payload):
    """Vehicles of one class by direction, left and right as seen from the line's start towards its end."""

    left_to_right: Number = Field(description="Vehicles")
    right_to_left: Number = Field(description="Vehicles")


class SpeedSums(Payload):
    """Speeds of the vehicles of one class in one direction; `sum` / `n` is the time mean, `n` / `sum_inverse` the space
    mean."""

    n: Number = Field(description="Vehicles with a speed; added up")
    unmeasured: Number = Field(description="Counted vehicles without one; added up")
    sum: float = Field(ge=0, description="Of their speeds, km/h; added up")
    sum_inverse: float = Field(ge=0, description="Of 1 / speed, h/km, speeds below 1 km/h as 1; added up")
    bins: Mapping[str, Number] = Field(
        description="Lower edge, km/h, of a bin 2 km/h wide -> vehicles; empty ones left out; added up"
    )


class Occupancy(Payload):
    """Time for which a lane was covered at the line."""

    occupied_s: float = Field(ge=0, description="Covered by the footprint of a vehicle; added up")
    seen_s: float = Field(ge=0, description="Watched; added up")


class Queue(Payload):
    """Standing vehicles before the line, in the region that is its queue."""

    vehicle_s: float = Field(ge=0, description="Sum over vehicles of the time that each stood; added up")
    any_s: float = Field(ge=0, description="Time in which one at least stood; added up")
    most: Number = Field(description="Largest number at one time; the maximum")


MEASURES: Final = ("doubtful", "speed", "headway", "occupancy", "queue")
"""Fields of `CountsMessage` that are there only where there is something to tell."""


class CountsMessage(Payload):
    """One closed interval of one line; immutable, so the same `id` always means the same content."""

    model_config = ConfigDict(json_schema_extra=may_lack(*MEASURES))

    schema_id: Literal["edge-app/counts/1"] = Field(default="edge-app/counts/1", alias="schema")
    id: str = Field(description="Opaque; one content for each id, for ever")
    site: Name
    device: Name
    line: str = Field(description="Id of the line, as in the topic")
    start: AwareDatetime = Field(description="Begin of the interval, UTC, included")
    end: AwareDatetime = Field(description="End of the interval, UTC, not included")
    interval_s: Seconds = Field(description="Configured length; end - start is shorter where the configuration changed")
    installation: Installation = ""
    counts: Mapping[str, DirectionCounts] = Field(description="Every configured class, zeros included")
    totals: Mapping[str, DirectionCounts] = Field(
        description="Counts under this installation, of every class that it has counted; they never decrease"
    )
    seq: Number = Field(description="Number of the interval on its line under its installation, from 1, without gaps")
    boot_id: Boot
    coverage: float = Field(ge=0, le=1, description="Share of end - start in which no vehicle could pass unseen")
    frames: Number = Field(description="Frames that were processed")
    dropped: Number = Field(description="Frames that came and were not processed")
    quality: Sequence[Flag] = Field(description="What makes these counts doubtful; empty when nothing does")
    late: bool = Field(description="First offered to the broker more than one interval after its end")
    model: Hash
    config: Hash = Field(description="Names the text in meta/{config}")
    doubtful: Mapping[str, Number] | SkipJsonSchema[None] = Field(
        default=None,
        exclude_if=not_given,
        description="Class -> crossings of `counts` of which the detector is unsure; absent without any; added up",
    )
    speed: Mapping[str, Mapping[Direction, SpeedSums]] | SkipJsonSchema[None] = Field(
        default=None, exclude_if=not_given, description="By class and direction; those without a vehicle are left out"
    )
    headway: Mapping[str, Mapping[str, Number]] | SkipJsonSchema[None] = Field(
        default=None,
        exclude_if=not_given,
        description="Lane -> largest headway, s (1, 2, 3, 5, 10, 30, above) -> vehicles; empty ones left out; added up",
    )
    occupancy: Mapping[str, Occupancy] | SkipJsonSchema[None] = Field(
        default=None, exclude_if=not_given, description="By lane"
    )
    queue: Queue | SkipJsonSchema[None] = Field(default=None, exclude_if=not_given, description="Before the line")


Vehicles: TypeAlias = Mapping[str, Mapping[str, Number]]


class FlowsMessage(Payload):
    """Turning flows of a junction in one closed interval; immutable, so the same `id` always means the same content."""

    schema_id: Literal["edge-app/flows/1"] = Field(default="edge-app/flows/1", alias="schema")
    id: str = Field(description="Opaque; one content for each id, for ever")
    site: Name
    device: Name
    line: Literal["_flows"] = Field(default="_flows", description="As `resend` and `newest_seq` name it")
    start: AwareDatetime = Field(description="Begin of the interval, UTC, included")
    end: AwareDatetime = Field(description="End of the interval, UTC, not included")
    interval_s: Seconds = Field(description="Configured length; end - start is shorter where the configuration changed")
    installation: Installation = ""
    flows: Mapping[str, Vehicles] = Field(
        description="Line of the entry -> line of the exit -> class -> vehicles that left in this interval; added up"
    )
    entered: Vehicles = Field(description="Line -> class -> vehicles that entered in this interval; added up")
    entered_only: Vehicles = Field(
        description="Line -> class -> vehicles that entered, now or before, and were lost in this interval; added up"
    )
    left_only: Vehicles = Field(description="Line -> class -> vehicles that left and were not seen to enter; added up")
    seq: Number = Field(description="Number of the interval under its installation, from 1, without gaps")
    boot_id: Boot
    coverage: float = Field(
        ge=0, le=1, description="Share of end - start in which no vehicle could pass any arm unseen"
    )
    frames: Number = Field(description="Frames that were processed")
    dropped: Number = Field(description="Frames that came and were not processed")
    quality: Sequence[Flag] = Field(description="What makes these flows doubtful; empty when nothing does")
    late: bool = Field(description="First offered to the broker more than one interval after its end")
    model: Hash
    config: Hash = Field(description="Names the text in meta/{config}")


class CrossingMessage(Payload):
    """One vehicle that has crossed a line, as soon as that is confirmed. It is not stored: counts go by `counts`."""

    schema_id: Literal["edge-app/crossing/1"] = Field(default="edge-app/crossing/1", alias="schema")
    site: Name
    device: Name
    line: str = Field(description="Id of the line, as in the topic")
    at: AwareDatetime = Field(description="When its centre passed the line, UTC")
    label: str = Field(alias="class", description="Class of the vehicle")
    direction: Direction = Field(description="Seen from the line's start towards its end")
    score: float = Field(ge=0, le=1, description="Mean score of its detections")
    speed_kmh: float | None = Field(default=None, description="At the line, km/h; null where it is not known")
    speed_error_kmh: float | None = Field(default=None, description="Its standard deviation, km/h")
    lane: str | None = Field(default=None, description="Lane, from 1 at the line's start; null without `lanes`")


class DetectorCounts(Payload):
    """What one detector counted on a line in an interval."""

    model: Hash
    config: Hash = Field(description="Of intervals that this detector counts")
    counts: Mapping[str, DirectionCounts] = Field(description="Every configured class, zeros included")


class ShadowMessage(DetectorCounts):
    """Counts of a candidate beside those of the detector in service, over the very same frames. Used for no count."""

    schema_id: Literal["edge-app/shadow/1"] = Field(default="edge-app/shadow/1", alias="schema")
    id: str = Field(description="Opaque; one content for each id, for ever")
    site: Name
    device: Name
    line: str = Field(description="Id of the line, as in the topic")
    start: AwareDatetime = Field(description="Begin of the interval, UTC, included")
    end: AwareDatetime = Field(description="End of the interval, UTC, not included")
    interval_s: Seconds = Field(description="Configured length")
    installation: Installation = ""
    seq: Number = Field(description="Rises on its line under its installation; a hole is a comparison that was lost")
    frames: Number = Field(description="Frames of the interval, all of which both have seen")
    in_service: DetectorCounts = Field(description="The detector whose counts are used")


class ReviewMessage(Payload):
    """Picture of one crossing, drawn at random, for a person to say what it shows. Sent only where that is allowed."""

    schema_id: Literal["edge-app/review/1"] = Field(default="edge-app/review/1", alias="schema")
    id: str = Field(pattern=r"^[0-9a-f]{32}$", description="Of this picture alone")
    site: Name
    device: Name
    line: str = Field(description="Id of the line, as in the topic")
    at: AwareDatetime = Field(description="When the vehicle's centre passed the line, UTC")
    label: str = Field(alias="class", description="Class that was counted")
    direction: Direction = Field(description="Seen from the line's start towards its end")
    score: float = Field(ge=0, le=1, description="Mean score of its detections")
    doubtful: bool = Field(description="The detector is unsure of it")
    stands_for: int = Field(ge=1, le=10**6, description="Crossings of the device, doubtful or not as it, drawn from")
    model: Hash
    box: tuple[Number, Number, Number, Number] = Field(description="Of the vehicle: x0, y0, x1, y1 px of the picture")
    picture: str = Field(description="JPEG, base64; at most 11,000 bytes as JPEG")
