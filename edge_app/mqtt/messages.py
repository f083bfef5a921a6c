"""What subscribers read: topics, payloads and their schemas (CONTRACTS.md, MQTT).

Readers may use the models too: unknown keys are kept, since additions are free within version 1.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt

from edge_app.errors import ConfigError
from edge_app.records import Direction, Quality

if TYPE_CHECKING:
    from edge_app.storage.sqlite import ClosedInterval

State: TypeAlias = Literal["online", "stopped", "offline"]
ROOT: Final = "traffic/v1"
_NAME: Final = re.compile(r"[a-z0-9-]+")


def _whole(seconds: float) -> float:
    """60.0 is written as 60, as every reader expects of a number of seconds."""
    return int(seconds) if math.isfinite(seconds) and seconds == int(seconds) else seconds


Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
Hash: TypeAlias = Annotated[str, Field(description="First 12 hexadecimal digits of a SHA-256, or empty")]
Seconds: TypeAlias = Annotated[int | float, BeforeValidator(_whole), Field(gt=0)]
Point: TypeAlias = tuple[float, float]


class Payload(BaseModel):
    """What all payloads have in common."""

    model_config = ConfigDict(frozen=True, extra="allow", json_schema_serialization_defaults_required=True)


class DirectionCounts(Payload):
    """Vehicles of one class in both directions, seen from the line's start towards its end."""

    left_to_right: NonNegativeInt
    right_to_left: NonNegativeInt


class CountsMessage(Payload):
    """One closed interval of one line; immutable, so the same `id` always means the same content."""

    schema_id: Literal["edge-app/counts/1"] = Field(default="edge-app/counts/1", alias="schema")
    id: str = Field(description="Stable hash of site, device, line and start")
    site: Name
    device: Name
    line: str
    start: AwareDatetime
    end: AwareDatetime
    interval_s: Seconds
    counts: Mapping[str, DirectionCounts] = Field(description="Every configured class, zeros included")
    totals: Mapping[str, DirectionCounts] = Field(description="The same since installation; never falls")
    seq: NonNegativeInt = Field(description="Number of the interval on its line, without gaps")
    boot_id: str
    coverage: float = Field(ge=0, le=1, description="Share of the interval in which frames were really processed")
    frames: NonNegativeInt
    dropped: NonNegativeInt
    quality: Sequence[Quality]
    late: bool = Field(description="First offered to the broker more than one interval after its end")
    model: Hash
    config: Hash


class Status(Payload):
    """Whether the device is there. `offline` is the last will: its `at` is when the lost connection was made."""

    schema_id: Literal["edge-app/status/1"] = Field(default="edge-app/status/1", alias="schema")
    state: State
    at: AwareDatetime
    boot_id: str
    version: str


class Location(Payload):
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class LineMeta(Payload):
    """A counting line: points in 0..1 of frame width and height, and what its directions are called."""

    id: str
    start: Point
    end: Point
    names: Mapping[Direction, str] = Field(default_factory=dict)


class Meta(Payload):
    """What does not change from interval to interval."""

    schema_id: Literal["edge-app/meta/1"] = Field(default="edge-app/meta/1", alias="schema")
    site: Name
    device: Name
    location: Location | None = None
    time_zone: str = "UTC"
    lines: Sequence[LineMeta]
    classes: Sequence[str]
    interval_s: Seconds
    model: Hash
    config: Hash
    version: str


class Percentiles(Payload):
    p50: float
    p95: float


class SourceHealth(Payload):
    """The camera: `detail` is one sentence about its last fault."""

    state: str
    width: NonNegativeInt = 0
    height: NonNegativeInt = 0
    reconnects: NonNegativeInt = 0
    repeated: NonNegativeInt = 0
    detail: str = ""


class Health(Payload):
    """How the device fares; null where this board cannot tell. `problem` is one sentence, empty when all is well."""

    schema_id: Literal["edge-app/health/1"] = Field(default="edge-app/health/1", alias="schema")
    at: AwareDatetime
    uptime_s: float = 0
    frames_per_s: float
    frames_dropped: NonNegativeInt
    inference_ms: Percentiles | None = None
    unsent: NonNegativeInt = Field(description="Closed intervals waiting for the broker's acknowledgement")
    lost: NonNegativeInt = Field(default=0, description="Intervals dropped because the disk was full")
    unstored: NonNegativeInt = Field(default=0, description="Crossings counted in memory that are not on disk yet")
    duplicates: NonNegativeInt = Field(default=0, description="Second tracks on a vehicle just counted, left out")
    moved: NonNegativeInt = Field(
        default=0, description="Crossings, since the start, that came too late for their own interval"
    )
    skipped: NonNegativeInt = Field(
        default=0, description="Missed intervals, since the start, that were too many to be made up"
    )
    temperature_c: float | None = None
    memory_mb: float | None = Field(default=None, description="Resident memory of this program")
    memory_available_mb: float | None = None
    disk_free_mb: float | None = None
    source: SourceHealth
    quality: Sequence[Quality] = Field(default=(), description="What is wrong with the camera's view now")
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """Who is speaking: site and device (lower-case a-z, 0-9, hyphen), the boot, and what software counts.

    model and config are hexadecimal SHA-256, of any length from 12. Raises ConfigError for a name that no topic can
    carry.
    """

    site: str
    device: str
    boot_id: str
    version: str
    model: str = ""
    config: str = ""

    def __post_init__(self) -> None:
        for key, name in (("site", self.site), ("device", self.device)):
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{key}: {name!r} must be lower-case letters a-z, digits and hyphens")

    @property
    def prefix(self) -> str:
        return f"{ROOT}/{self.site}/{self.device}"

    @property
    def client_id(self) -> str:
        """Stable and unique as long as site and device are: a broker throws out the older of two equal ones."""
        return f"edge-app-{self.site}-{self.device}"


def rfc3339(at: float) -> str:
    """UTC seconds since 1970 as RFC 3339 with Z, fractions only where there are any."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat().replace("+00:00", "Z")


def interval_id(device: Device, line: str, start: float) -> str:
    """The first 32 hexadecimal digits of SHA-256 over "site/device/line/start", start in RFC 3339."""
    return hashlib.sha256(f"{device.site}/{device.device}/{line}/{rfc3339(start)}".encode()).hexdigest()[:32]


def encode(payload: BaseModel) -> str:
    """JSON in the order of the model's fields: equal payloads are equal texts."""
    return payload.model_dump_json(by_alias=True)


def encode_status(device: Device, state: State, at: float) -> str:
    facts = {"state": state, "at": rfc3339(at), "boot_id": device.boot_id, "version": device.version}
    return encode(Status.model_validate(facts))


def encode_counts(device: Device, closed: ClosedInterval) -> str:
    """The payload of one interval without `late`, which is not known before it is first offered to the broker."""
    counts = closed.counts
    message = CountsMessage.model_validate(
        {
            "id": interval_id(device, counts.line, counts.start),
            "site": device.site,
            "device": device.device,
            "line": counts.line,
            "start": rfc3339(counts.start),
            "end": rfc3339(counts.end),
            "interval_s": counts.interval_s,
            "counts": counts.counts,
            "totals": closed.totals,
            "seq": closed.seq,
            "boot_id": closed.boot_id,
            "coverage": round(counts.coverage, 4),
            "frames": counts.frames,
            "dropped": counts.dropped,
            "quality": counts.quality,
            "late": False,
            "model": device.model[:12],
            "config": device.config[:12],
        }
    )
    return message.model_dump_json(by_alias=True, exclude={"late"})


def with_late(payload: str, late: bool) -> str:
    """The payload that goes out: `encode_counts` and the flag. The same two always give the same text."""
    return json.dumps(json.loads(payload) | {"late": late}, separators=(",", ":"), ensure_ascii=False)
