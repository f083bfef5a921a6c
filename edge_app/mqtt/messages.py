"""Models of the MQTT payloads; they validate, and the JSON Schemas are generated from them (docs/mqtt.md).

Subscribers may use the models too: they accept unknown keys, since version 1 of the contract may gain keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from edge_app.mqtt.figures import Figures, Percentiles
from edge_app.mqtt.identity import CONTRACT
from edge_app.records import FLOWS, Direction, Quality

State: TypeAlias = Literal["online", "stopped", "offline"]


def _without_fraction(seconds: object) -> object:
    """Return 60.0 as the integer 60, so that JSON shows 60, and all else as it is."""
    return int(seconds) if isinstance(seconds, float) and seconds.is_integer() else seconds


Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9-]+$", description="As in the topic")]
Boot: TypeAlias = Annotated[str, Field(description="Changes at every start of the program")]
Time: TypeAlias = Annotated[AwareDatetime, Field(description="When this was written, UTC")]
Version: TypeAlias = Annotated[str, Field(description="Of the program")]
Hash: TypeAlias = Annotated[str, Field(description="First 12 hexadecimal digits of a SHA-256, or empty")]
Number: TypeAlias = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""Whole number that every JSON parser keeps exactly."""
Seconds: TypeAlias = Annotated[int | float, BeforeValidator(_without_fraction), Field(gt=0)]
Installation: TypeAlias = Annotated[
    str, Field(pattern=r"^([0-9a-f]{8})?$", description="Changes when seq and totals begin anew, and only then")
]
Flag: TypeAlias = Annotated[str, Field(examples=list(get_args(Quality)), description="The list of flags is open")]
Contract: TypeAlias = Annotated[str, Field(pattern=r"^1\.[0-9]+$", description="Version of this contract")]
Code: TypeAlias = Literal["bad_request", "unknown_command", "unauthorised", "clock", "expired", "busy", "failed"]
CODES: Final = get_args(Code)
Point: TypeAlias = tuple[float, float]


class Payload(BaseModel):
    """Base of all payloads: frozen, with unknown keys accepted."""

    model_config = ConfigDict(frozen=True, extra="allow", json_schema_serialization_defaults_required=True)


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


def _not_given(value: object) -> bool:
    return value is None


def _may_lack(*keys: str) -> Callable[[dict[str, Any]], None]:
    """Return what takes keys out of those that a schema requires: they are left out where they are not measured."""

    def change(schema: dict[str, Any]) -> None:
        schema["required"] = [key for key in schema["required"] if key not in keys]

    return change


MEASURES: Final = ("doubtful", "speed", "headway", "occupancy", "queue")
"""Fields of `CountsMessage` that are there only where there is something to tell."""


class CountsMessage(Payload):
    """One closed interval of one line; immutable, so the same `id` always means the same content."""

    model_config = ConfigDict(json_schema_extra=_may_lack(*MEASURES))

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
        exclude_if=_not_given,
        description="Class -> crossings of `counts` of which the detector is unsure; absent without any; added up",
    )
    speed: Mapping[str, Mapping[Direction, SpeedSums]] | SkipJsonSchema[None] = Field(
        default=None, exclude_if=_not_given, description="By class and direction; those without a vehicle are left out"
    )
    headway: Mapping[str, Mapping[str, Number]] | SkipJsonSchema[None] = Field(
        default=None,
        exclude_if=_not_given,
        description="Lane -> largest headway, s (1, 2, 3, 5, 10, 30, above) -> vehicles; empty ones left out; added up",
    )
    occupancy: Mapping[str, Occupancy] | SkipJsonSchema[None] = Field(
        default=None, exclude_if=_not_given, description="By lane"
    )
    queue: Queue | SkipJsonSchema[None] = Field(default=None, exclude_if=_not_given, description="Before the line")


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

    model_config = ConfigDict(json_schema_extra=_may_lack("lanes", "queue", "enters"))

    id: str = Field(description="As in the topics")
    start: Point = Field(description="x and y")
    end: Point = Field(description="x and y")
    names: Mapping[Direction, str] = Field(default_factory=dict, description="As in `directions`; kept from 1.0")
    road: str = Field(default="", description="Text for people")
    directions: Mapping[Direction, DirectionMeta] = Field(
        default_factory=dict, description="Only those that have a name or a bearing"
    )
    lanes: Sequence[float] | SkipJsonSchema[None] = Field(
        default=None, exclude_if=_not_given, description="Where lanes part, in 0..1 of the way from start to end"
    )
    queue: Sequence[Point] | SkipJsonSchema[None] = Field(
        default=None, exclude_if=_not_given, description="Corners of the region of its queue"
    )
    enters: Direction | SkipJsonSchema[None] = Field(
        default=None, exclude_if=_not_given, description="Direction in which vehicles enter the junction"
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


def lines_of(meta: ConfigMeta) -> frozenset[str]:
    """Return the ids of all lines, and what stands for one of turning flows where lines are arms of a junction."""
    flows = (FLOWS,) if any(line.enters for line in meta.lines) else ()
    return frozenset((*(line.id for line in meta.lines), *flows))


class ConfigDesired(Payload):
    """Document of config/desired: all that the office sets."""

    schema_id: Literal["edge-app/config-desired/1"] = Field(default="edge-app/config-desired/1", alias="schema")
    revision: int = Field(ge=1, le=2**53 - 1, description="Only rises")
    at: Time
    author: str = Field(description="Who has changed it, 1 to 200 characters")
    set: Mapping[str, Any] = Field(description="Tables and keys as the configuration file has them")
    unset: Sequence[str] = Field(default=(), description="Keys that get their default, such as detector.region")


class ConfigLayer(Payload):
    """Layer of the configuration in use."""

    name: str = Field(description="file, page or office; later ones win")
    revision: str = Field(description="Changes with each change")
    author: str = Field(description="Who wrote it")
    at: AwareDatetime = Field(description="When it was written, UTC")


class ConfigConflict(Payload):
    """Key that two layers set to different values."""

    key: str = Field(description="Such as counting.interval_s")
    used: str = Field(description="Layer whose value is used")
    ignored: str = Field(description="The other one")
    ignored_is_newer: bool = Field(description="That one was written later")


ConfigState: TypeAlias = Literal["none", "trying", "applied", "refused", "rolled_back"]


ReleaseState: TypeAlias = Literal["installing", "judging", "counts", "kept", "back", "failed"]


class ReleaseReported(Payload):
    """What became of the newest release, or return to the one before, that the office has ordered."""

    id: str = Field(description="Of the command")
    state: ReleaseState = Field(description="counts: on probation for some minutes more; back: to the release before")
    problem: str = Field(default="", description="Why it went back or failed, one sentence")


class ConfigReported(Payload):
    """What became of what the office has set, at every connect and at each change."""

    schema_id: Literal["edge-app/config-reported/1"] = Field(default="edge-app/config-reported/1", alias="schema")
    at: Time
    state: ConfigState = Field(description="Of the newest message; none was ever accepted, or it was refused")
    revision: Number = Field(description="Of the office's layer in use, 0 without one")
    highest: Number = Field(description="Highest that was ever accepted")
    problems: Sequence[str] = Field(description="Why it was refused or taken back, one sentence each")
    config: Hash = Field(description="As in meta")
    installation: Installation = ""
    layers: Sequence[ConfigLayer] = Field(description="The configuration in use is made of these")
    conflicts: Sequence[ConfigConflict] = Field(description="What a layer says in vain")
    release: ReleaseReported | None = Field(default=None, description="Null where the office has ordered none")


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

    model_config = ConfigDict(json_schema_extra=_may_lack("shadow", "figures", "reviews"))

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
    installation: Installation = ""
    newest_seq: Mapping[str, Number] = Field(
        default_factory=dict, description="Newest number of each line under the installation"
    )
    shadow: ShadowHealth | SkipJsonSchema[None] = Field(
        default=None, exclude_if=_not_given, description="The candidate that counts beside; absent without one"
    )
    figures: Figures | SkipJsonSchema[None] = Field(
        default=None, exclude_if=_not_given, description="Of the newest quarter of an hour; absent before the first"
    )
    reviews: ReviewHealth | SkipJsonSchema[None] = Field(
        default=None, exclude_if=_not_given, description="Pictures for a review; absent where there are none"
    )
    limits: Sequence[str] = Field(default=(), description="What cannot be delivered and why, one sentence each")
    problem: str = Field(default="", description="The one most urgent fault")


class CommandMessage(Payload):
    """Command to a device. `resend` has line, installation, from_seq, to_seq (both included); signed: `harvest`
    enabled, hours; `snapshot` width, lines; `fetch` url, bytes, sha256; the others have no args."""

    schema_id: Literal["edge-app/command/1"] = Field(default="edge-app/command/1", alias="schema")
    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="Begins with the sender's name and is random")
    at: Time
    expires: AwareDatetime = Field(description="At most a day after `at`")
    args: Mapping[str, Any] = Field(default_factory=dict, description="Depend on the command")


class SignedMessage(Payload):
    """Document that the office has signed: Ed25519 over the UTF-8 bytes of the full topic, a line feed and the text."""

    schema_id: Literal["edge-app/signed/1"] = Field(default="edge-app/signed/1", alias="schema")
    key: str = Field(pattern=r"^[0-9a-f]{8}$", description="Begin of the SHA-256 of the raw public key")
    signature: str = Field(pattern=r"^[A-Za-z0-9_-]{86}$", description="base64url without padding")
    document: str = Field(description="JSON as text")


class PieceMessage(Payload):
    """Part of what is too large for an answer; `sha256` of the answer is that of all parts together."""

    schema_id: Literal["edge-app/piece/1"] = Field(default="edge-app/piece/1", alias="schema")
    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="That of the command, as in the topic")
    piece: int = Field(ge=1, description="Number of this part")
    of: int = Field(ge=1, description="Number of all parts")
    data: str = Field(description="base64 of at most 12,000 bytes")


class PieceRequest(Payload):
    """Question of a device for some pieces of what it is to fetch from the broker."""

    schema_id: Literal["edge-app/piece-request/1"] = Field(default="edge-app/piece-request/1", alias="schema")
    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="That of the command, as in the topic")
    first: int = Field(alias="from", ge=1, description="First piece that is wanted")
    last: int = Field(alias="to", ge=1, description="Last one, at most four more")
    of: int = Field(ge=1, description="Number of all pieces")


class ReplyMessage(Payload):
    """Answer of a device: `result`, or `code` and `error` where `ok` is false."""

    schema_id: Literal["edge-app/reply/1"] = Field(default="edge-app/reply/1", alias="schema")
    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="That of the command")
    at: Time
    ok: bool = Field(description="Whether the command was carried out")
    result: Mapping[str, Any] | SkipJsonSchema[None] = Field(default=None, description="Depends on the command")
    code: str | SkipJsonSchema[None] = Field(
        default=None, examples=list(CODES), description="Kind of the refusal, for programs"
    )
    error: str | SkipJsonSchema[None] = Field(default=None, description="One sentence")

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)
