"""Payloads in which a device tells of itself: presence, description, health (docs/mqtt.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from pydantic import AwareDatetime, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from edge_app.mqtt.figures import Figures, Percentiles
from edge_app.mqtt.identity import CONTRACT
from edge_app.mqtt.payload import (
    Boot,
    Contract,
    Flag,
    Hash,
    Installation,
    Name,
    Number,
    Payload,
    Seconds,
    Time,
    Version,
    may_lack,
    not_given,
)
from edge_app.records import FLOWS, Direction

State: TypeAlias = Literal["online", "stopped", "offline"]
Point: TypeAlias = tuple[float, float]


class Status(Payload):
    """Presence of the device. `offline` is the last will; its `at` is the time when the lost connection was made."""

    schema_id: Literal["edge-app/status/1"] = Field(default="edge-app/status/1", alias="schema")
    state: State = Field(description="online, stopped by intention, or offline since the connection was lost")
    at: Time
    boot_id: Boot
    version: Version
    contract: Contract = CONTRACT
    installation: Installation = ""


class Location(Payload):
    """Position in degrees."""

    lat: float = Field(ge=-90, le=90, description="Degrees north")
    lon: float = Field(ge=-180, le=180, description="Degrees east")


class DirectionMeta(Payload):
    """A direction of a line: its name, and where the vehicles drive to, clockwise from true north."""

    name: str | None = Field(default=None, description="Text for people")
    bearing_deg: int | None = Field(default=None, ge=0, le=359, description="Degrees")


class LineMeta(Payload):
    """A counting line: end points in 0..1 of the frame's width and height, and the names of its directions."""

    model_config = ConfigDict(json_schema_extra=may_lack("lanes", "queue", "enters"))

    id: str = Field(description="As in the topics")
    start: Point = Field(description="x and y")
    end: Point = Field(description="x and y")
    names: Mapping[Direction, str] = Field(default_factory=dict, description="As in `directions`; kept from 1.0")
    road: str = Field(default="", description="Text for people")
    directions: Mapping[Direction, DirectionMeta] = Field(
        default_factory=dict, description="Only those that have a name or a bearing"
    )
    lanes: Sequence[float] | SkipJsonSchema[None] = Field(
        default=None, exclude_if=not_given, description="Where lanes part, in 0..1 of the way from start to end"
    )
    queue: Sequence[Point] | SkipJsonSchema[None] = Field(
        default=None, exclude_if=not_given, description="Corners of the region of its queue"
    )
    enters: Direction | SkipJsonSchema[None] = Field(
        default=None, exclude_if=not_given, description="Direction in which vehicles enter the junction"
    )


class ConfigMeta(Payload):
    """Description of what was counted under one `config`: position, lines, classes, and the settings that it hashes."""

    schema_id: Literal["edge-app/meta/1"] = Field(default="edge-app/meta/1", alias="schema")
    site: Name
    device: Name
    location: Location | None = Field(default=None, description="Of the device; null when it is not configured")
    time_zone: str = Field(default="UTC", description="IANA name, for showing; all times here are UTC")
    lines: Sequence[LineMeta] = Field(description="Every configured line")
    classes: Sequence[str] = Field(description="Every counted class")
    interval_s: Seconds = Field(description="Configured length of an interval, s")
    model: Hash
    config: Hash
    version: Version
    counting: Mapping[str, Any] = Field(default_factory=dict, description="The settings that `config` hashes")


class Meta(ConfigMeta):
    """Description of the device as it counts now, sent at every connect."""

    contract: Contract = CONTRACT
    installation: Installation = ""
    model_name: str = Field(default="", description="Of the detector, text for people; may be empty")
    processor: str = Field(default="", description="Of the system, such as aarch64; a release must be made for it")
    machine: str = Field(default="", description="Opaque; devices on one machine share it, and the program; or empty")
    takes_releases: bool | None = Field(
        default=None, description="False: no release can be ordered here, as at all but the first camera of a machine"
    )


def lines_of(meta: ConfigMeta) -> frozenset[str]:
    """Return the ids of all lines, and what stands for one of turning flows where lines are arms of a junction."""
    flows = (FLOWS,) if any(line.enters for line in meta.lines) else ()
    return frozenset((*(line.id for line in meta.lines), *flows))


class SourceHealth(Payload):
    """State of the camera. `detail` is one sentence about its present fault, empty without one."""

    state: str = Field(description="opening, ok, frozen, lost or ended")
    width: Number = Field(default=0, description="px; 0 until known")
    height: Number = Field(default=0, description="px; 0 until known")
    reconnects: Number = Field(default=0, description="Times since the start that it was opened again")
    repeated: Number = Field(default=0, description="Frames since the start that equal the one before")
    detail: str = Field(default="", description="One sentence; empty when all is well")


class ShadowHealth(Payload):
    """How a candidate compares with the detector in service, since the start of the program."""

    model: Hash
    state: Literal["starting", "comparing", "resting", "failed"] = Field(
        description="It loads, sees every frame, waits for the next interval that it can begin, or compares nothing"
    )
    compared: Number = Field(description="Intervals that were compared")
    given_up: Number = Field(description="All others")
    why: str = Field(default="", description="Why the newest of them was given up, one sentence")
    vehicles: Number = Field(description="Counted by the candidate in all compared intervals, all lines together")
    in_service_vehicles: Number = Field(description="The same of the detector in service")


class ReviewHealth(Payload):
    """Pictures of crossings for people to review, since the start of the program."""

    taken: Number = Field(description="Drawn at random")
    dropped: Number = Field(description="Of them, too old or refused before the broker had them")


class Health(Payload):
    """Health of the device; null where the hardware has no sensor. `problem` is one sentence, empty without one."""

    model_config = ConfigDict(json_schema_extra=may_lack("certificate_ends", "shadow", "figures", "reviews"))

    schema_id: Literal["edge-app/health/1"] = Field(default="edge-app/health/1", alias="schema")
    at: Time
    uptime_s: float = Field(default=0, description="Since the start of the program")
    frames_per_s: float = Field(description="Frames that were processed")
    frames_dropped: Number = Field(description="Frames since the start that came and were not processed")
    still_share: float = Field(
        default=0, ge=0, le=1, description="Share of the processed frames in which nothing moved: no inference"
    )
    inference_ms: Percentiles | None = Field(default=None, description="Time of an inference; null before the first")
    unsent: Number = Field(description="Closed intervals waiting for the broker's acknowledgement")
    lost: Number = Field(
        default=0, description="Intervals dropped unsent since the state folder was made: queue or disk full"
    )
    unstored: Number = Field(default=0, description="Crossings in memory that are not on disk yet")
    duplicates: Number = Field(
        default=0, description="Second tracks on a vehicle that was just counted; not counted again"
    )
    late_crossings: Number = Field(
        default=0, description="Crossings since the start that came too late for their own interval"
    )
    moved: Number = Field(default=0, description="Former name of late_crossings; goes with version 0.2 of the program")
    skipped: Number = Field(default=0, description="Intervals missed since the start that were too many to be made up")
    temperature_c: float | None = Field(default=None, description="Of the processor")
    memory_mb: float | None = Field(default=None, description="Resident memory of this program")
    memory_available_mb: float | None = Field(default=None, description="Memory that programs may still take")
    disk_free_mb: float | None = Field(default=None, description="Free space where counts are stored")
    source: SourceHealth = Field(description="The camera")
    quality: Sequence[Flag] = Field(default=(), description="Flags raised now for the camera's view and the clock")
    drift: Sequence[Literal["data", "model", "traffic"]] = Field(
        default=(), description="What is no longer as in the months before: the picture, the detector, the traffic"
    )
    harvest_until: AwareDatetime | None = Field(
        default=None, description="End of the harvest that the office has switched on; null without one"
    )
    certificate_ends: AwareDatetime | None = Field(
        default=None, description="When the first of its certificates, its own or its authority's, ends; null: none"
    )
    installation: Installation = ""
    newest_seq: Mapping[str, Number] = Field(
        default_factory=dict, description="Newest number of each line under the installation"
    )
    shadow: ShadowHealth | SkipJsonSchema[None] = Field(
        default=None, exclude_if=not_given, description="The candidate that counts beside; absent without one"
    )
    figures: Figures | SkipJsonSchema[None] = Field(
        default=None, exclude_if=not_given, description="Of the newest quarter of an hour; absent before the first"
    )
    reviews: ReviewHealth | SkipJsonSchema[None] = Field(
        default=None, exclude_if=not_given, description="Pictures for a review; absent where there are none"
    )
    limits: Sequence[str] = Field(default=(), description="What cannot be delivered and why, one sentence each")
    problem: str = Field(default="", description="The one most urgent fault")
