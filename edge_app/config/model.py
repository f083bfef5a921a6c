"""Models of the configuration: each key with its type, default, limits and one sentence of description.

The descriptions become the comments of the generated example, so text and code always agree. load.py reads a file and
reports its errors.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator

from edge_app.config.camera_health import ViewConfig
from edge_app.config.geometry import GeometryConfig
from edge_app.config.harvest import HarvestConfig
from edge_app.config.monitoring import HomeAssistantConfig, MetricsConfig
from edge_app.config.mqtt import MqttConfig as MqttConfig
from edge_app.config.office import OfficeConfig
from edge_app.config.page import PageConfig
from edge_app.config.preview import PreviewConfig, PrivacyConfig
from edge_app.config.review import ReviewConfig
from edge_app.config.source import SourceConfig
from edge_app.config.types import SHA256, Area, CandidatePath, FilePath, Fraction, Point, Sha256, Slug, Table, distinct
from edge_app.records import Direction

VehicleLabel: TypeAlias = Literal["car", "motorcycle", "bus", "truck", "bicycle"]


class DeviceConfig(Table):
    """Names and position of this device, as MQTT topics and messages give them."""

    site: Slug = Field(default="demo-site", description="Name of the site, part of every topic: a-z, 0-9 and hyphen.")
    device: Slug = Field(
        default="demo-device", description="Name of the device, unique within its site: a-z, 0-9 and hyphen."
    )
    lat: float | None = Field(default=None, ge=-90, le=90, description="Latitude in degrees.", examples=[52.0907])
    lon: float | None = Field(default=None, ge=-180, le=180, description="Longitude in degrees.", examples=[5.1214])
    time_zone: str = Field(
        default="UTC", description='Time zone of the site, such as "Europe/Amsterdam"; messages stay in UTC.'
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value == "UTC":  # valid also on a device without a time zone database
            return value
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            near = [f' (did you mean "{name}"?)' for name in difflib.get_close_matches(value, available_timezones(), 1)]
            raise ValueError(f"unknown time zone {value!r}{''.join(near)}") from None
        return value


_SMALLEST_REGION: Final = 0.05
"""Share of the picture's width and height; in less no vehicle fits."""


class DetectorConfig(Table):
    """Detection of vehicles in a picture."""

    model: FilePath | None = Field(
        default=None,
        description="A .tflite file with its .json beside it; the built-in model without it.",
        examples=["my.tflite"],
    )
    fetched: Sha256 | None = Field(
        default=None,
        description="Count with the detector of this SHA-256, which the office has had fetched, instead of `model`.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    allow_unproven: bool = Field(
        default=False, description="Count with a model that has not passed the model gate of models/registry."
    )
    shadow: CandidatePath | None = Field(
        default=None,
        description="A second .tflite file, or the SHA-256 of a detector on this device, of a candidate that counts "
        "beside when processor time is free; its counts are published apart, on shadow/LINE, and never used.",
        examples=["candidate.tflite"],
    )
    threads: int = Field(default=2, ge=1, le=8, description="CPU threads for inference, with one interpreter on each.")
    score: Fraction = Field(default=0.2, description="Lowest score at which a detection may begin a track.")
    weak_score: Fraction = Field(default=0.15, description="Lowest score at which a detection may continue a track.")
    same_iou: Fraction = Field(
        default=0.55, description="Two boxes of one class with a larger overlap (IoU) are one vehicle."
    )
    any_iou: Fraction = Field(
        default=0.5, description="Two boxes of any class with a larger overlap (IoU) are one vehicle."
    )
    region: Annotated[tuple[Fraction, Fraction, Fraction, Fraction], Field(strict=False)] | None = Field(
        default=None,
        description="Detect only in this part: left, top, right, bottom in 0..1 of the picture.",
        examples=[[0.0, 0.3, 1.0, 1.0]],
    )
    motion: bool = Field(
        default=True, description="Detect only while something moves, and every two seconds; false: in every frame."
    )
    second_look: bool = Field(
        default=True,
        description="Detect in parts around the lines as well, where vehicles at them are small; false: never.",
    )

    @field_validator("shadow")
    @classmethod
    def _another_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and value == info.data.get("model"):
            raise ValueError("is the file of detector.model: name the candidate that is to be compared with it")
        if value is not None and str(value) == info.data.get("fetched"):
            raise ValueError("is the detector of detector.fetched: name the candidate that is to be compared with it")
        return value

    @property
    def shadow_sha256(self) -> str:
        """SHA-256 of the candidate where it is named by it; "" where it is a file, or there is none."""
        return str(self.shadow) if self.shadow is not None and SHA256.fullmatch(str(self.shadow)) else ""

    @field_validator("weak_score")
    @classmethod
    def _not_above_score(cls, value: float, info: ValidationInfo) -> float:
        if value > info.data.get("score", 1.0):
            raise ValueError(f"must not be above detector.score, {info.data['score']}, but is {value}")
        return value

    @field_validator("region")
    @classmethod
    def _has_area(cls, value: tuple[float, float, float, float] | None) -> tuple[float, float, float, float] | None:
        if value and not (value[0] < value[2] and value[1] < value[3]):
            raise ValueError("must be left, top, right, bottom with left < right and top < bottom")
        if value and min(value[2] - value[0], value[3] - value[1]) < _SMALLEST_REGION:
            raise ValueError(f"must be at least {_SMALLEST_REGION} of the picture wide and high")
        return value


class TrackerConfig(Table):
    """Tracking of vehicles; in seconds and box sizes, so the same values hold at any frame rate and resolution."""

    confirm_s: float = Field(default=0.1, ge=0, le=5, description="Age of a track at which it counts as a vehicle, s.")
    lost_s: float = Field(default=1.0, gt=0, le=30, description="A track ends after this time without a detection, s.")
    gate: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Association radius: largest distance of a detection from its predicted position, in widths and "
        "heights of its box.",
    )


NO_LINES: Final = "at least one counting line is needed: add a table [[lines]] with id, start and end"


class LineConfig(Table):
    """A counting line. Seen from start towards end, a vehicle passes from left to right or from right to left."""

    id: Slug = Field(description="Name of the line, part of the topic: a-z, 0-9 and hyphen.", examples=["main-road"])
    start: Point = Field(description="x and y in 0..1 of the picture, from its top left corner.", examples=[[0.1, 0.6]])
    end: Point = Field(description="x and y of the other end.", examples=[[0.9, 0.6]])
    left_to_right: str | None = Field(
        default=None, description="Your name for this direction.", examples=["northbound"]
    )
    right_to_left: str | None = Field(
        default=None, description="Your name for this direction.", examples=["southbound"]
    )
    road: str | None = Field(
        default=None, max_length=200, description="Text about the road, for people.", examples=["A12, km 7"]
    )
    left_to_right_bearing_deg: int | None = Field(
        default=None,
        ge=0,
        le=359,
        description="Where the vehicles of this direction drive to, degrees clockwise from true north.",
        examples=[0],
    )
    right_to_left_bearing_deg: int | None = Field(
        default=None, ge=0, le=359, description="The same for the other direction.", examples=[180]
    )
    lanes: Annotated[tuple[float, ...], Field(strict=False)] | None = Field(
        default=None,
        max_length=15,
        description="Where lanes part, in 0..1 of the way from start to end; [] for one lane. Lane 1 is at the start. "
        "Headway is told for each lane, and with [geometry] occupancy.",
        examples=[[0.5]],
    )
    queue: Area | None = Field(
        default=None,
        description="Part of the picture before the line in which standing vehicles are its queue: two corners of a "
        "rectangle or the corners of a polygon, in 0..1.",
        examples=[[[0.1, 0.3], [0.5, 0.55]]],
    )
    enters: Literal["left_to_right", "right_to_left"] | None = Field(
        default=None,
        description="Direction in which vehicles enter the junction over this line, an arm of it; for turning flows.",
        examples=["left_to_right"],
    )

    @field_validator("lanes")
    @classmethod
    def _within_the_line(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        outside = [split for split in value or () if not 0 < split < 1]
        if outside:
            raise ValueError(f"a lane parts at {outside[0]:g}, outside the line: give numbers between 0 and 1")
        if value and list(value) != sorted(set(value)):
            raise ValueError("must rise from the line's start to its end, such as [0.33, 0.66]")
        return value

    @field_validator("end")
    @classmethod
    def _has_length(cls, value: tuple[float, float], info: ValidationInfo) -> tuple[float, float]:
        if value == info.data.get("start"):
            raise ValueError("is the same point as start: the line has no length")
        return value

    @property
    def names(self) -> dict[Direction, str]:
        """The configured names by direction."""
        both: dict[Direction, str | None] = {"left_to_right": self.left_to_right, "right_to_left": self.right_to_left}
        return {direction: name for direction, name in both.items() if name}

    @property
    def bearings(self) -> dict[Direction, int]:
        """The configured bearings by direction, degrees clockwise from true north."""
        both: dict[Direction, int | None] = {
            "left_to_right": self.left_to_right_bearing_deg,
            "right_to_left": self.right_to_left_bearing_deg,
        }
        return {direction: degrees for direction, degrees in both.items() if degrees is not None}


class CountingConfig(Table):
    """Classes that are counted, and how often counts are published."""

    classes: Annotated[tuple[VehicleLabel, ...], Field(strict=False, min_length=1), AfterValidator(distinct)] = Field(
        default=("car", "motorcycle", "bus", "truck"),
        description="Any of car, motorcycle, bus, truck, bicycle. Without this key car, motorcycle, bus and truck, and "
        "bicycle where the detector has passed the gate with bicycles.",
        examples=[("car", "motorcycle", "bus", "truck")],
    )
    interval_s: int = Field(
        default=60, ge=10, le=3600, description="Length of an interval, s: 10 to 3600, and a divisor of 3600."
    )
    dead_band: float = Field(
        default=0.15, ge=0, le=2, description="Distance past the line at which a vehicle counts, in box sizes."
    )

    @field_validator("interval_s")
    @classmethod
    def _part_of_an_hour(cls, value: int) -> int:
        if 3600 % value:
            parts = [n for n in range(10, 3601) if 3600 % n == 0]
            near = sorted(sorted(parts, key=lambda n: abs(n - value))[:2])
            raise ValueError(f"must divide an hour without a remainder, such as {near[0]} or {near[1]}, but is {value}")
        return value


class StoreConfig(Table):
    """Storage of counts that survives power cuts."""

    folder: FilePath = Field(
        default=Path("state"), description="Folder of the database, used by one device only.", validate_default=True
    )
    max_intervals: int = Field(
        default=86_400,
        ge=100,
        le=5_000_000,
        description="Largest number of unsent intervals; beyond it the oldest leave the outbox, counted as lost.",
    )
    keep_days: float = Field(
        default=60.0, ge=0, le=3660, description="Delivered intervals are kept so long for `resend`, days of running."
    )
    keep_mb: float = Field(default=400.0, ge=0, le=100_000, description="They take no more than this, MB.")


class LogConfig(Table):
    """Log messages on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged: debug, info, warning or error."
    )
    format: Literal["auto", "human", "json"] = Field(
        default="auto", description="human, json or auto (human on a terminal, else json)."
    )


class Config(Table):
    """The whole configuration; frozen, with secrets only as SecretStr."""

    device: DeviceConfig = DeviceConfig()
    source: SourceConfig = SourceConfig()
    detector: DetectorConfig = DetectorConfig()
    tracker: TrackerConfig = TrackerConfig()
    lines: tuple[LineConfig, ...] = Field(default=(), strict=False, validate_default=True)
    counting: CountingConfig = CountingConfig()
    geometry: GeometryConfig = GeometryConfig()
    mqtt: MqttConfig = MqttConfig()
    store: StoreConfig = StoreConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    preview: PreviewConfig = PreviewConfig()
    page: PageConfig = PageConfig()
    office: OfficeConfig = OfficeConfig()
    review: ReviewConfig = ReviewConfig()
    harvest: HarvestConfig = HarvestConfig()
    view: ViewConfig = ViewConfig()
    metrics: MetricsConfig = MetricsConfig()
    homeassistant: HomeAssistantConfig = HomeAssistantConfig()
    log: LogConfig = LogConfig()

    @field_validator("lines")
    @classmethod
    def _usable_lines(cls, value: tuple[LineConfig, ...], info: ValidationInfo) -> tuple[LineConfig, ...]:
        twice = [name for name, n in Counter(line.id for line in value).items() if n > 1]
        if twice:
            raise ValueError(f'two lines have the id "{twice[0]}"; each needs its own')
        source = info.data.get("source")
        if not value and source and source.kind != "street":
            raise ValueError(NO_LINES)
        return value

    @field_validator("preview")
    @classmethod
    def _not_open_to_all(cls, value: PreviewConfig) -> PreviewConfig:
        if value.enabled and value.open_to_all:
            raise ValueError(f"others can reach {value.address}: give username and password, or use 127.0.0.1")
        return value

    @field_validator("metrics")
    @classmethod
    def _not_open_by_mistake(cls, value: MetricsConfig) -> MetricsConfig:
        if value.enabled and value.open_to_network and not value.allow_network:
            raise ValueError(
                f"others can reach {value.address} and could read the metrics, without a password and unencrypted: use "
                "127.0.0.1, or allow it with metrics.allow_network = true"
            )
        return value

    @field_validator("review")
    @classmethod
    def _allowed_by_pictures(cls, value: ReviewConfig, info: ValidationInfo) -> ReviewConfig:
        office = info.data.get("office")
        if value.enabled and office is not None and not office.gives_pictures:
            raise ValueError("pictures leave this device only with office.pictures = true and a key in office.keys")
        return value

    @field_validator("homeassistant")
    @classmethod
    def _has_values(cls, value: HomeAssistantConfig, info: ValidationInfo) -> HomeAssistantConfig:
        mqtt = info.data.get("mqtt")
        if value.enabled and mqtt is not None and not mqtt.latest:
            raise ValueError("Home Assistant would get no counts, which it reads from `latest`: set mqtt.latest = true")
        return value

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret text, so that nothing shows it."""
        password = self.mqtt.password
        return (*self.source.secrets, *self.preview.secrets, *([password.get_secret_value()] if password else []))

    def counting_settings(self, model: str, revision: int) -> dict[str, Any]:
        """Return what changes a count or a measure, with defaults filled in: what `config` of an interval hashes.

        Measures are among them only where they are configured.

        model: SHA-256 of the detector file. revision: of the code that counts.
        """
        data = self.model_dump(mode="json", include=_COUNTING)
        lines = [{key: line[key] for key in ("id", "start", "end")} for line in data.pop("lines")]
        if self.source.pipeline:  # it may hold a login, and this goes into messages
            data["source"]["pipeline"] = hashlib.sha256(self.source.pipeline.encode()).hexdigest()[:12]
        data["counting"]["classes"] = sorted(data["counting"]["classes"])
        measured = {"measures": self._measured} if self._measured else {}
        lines.sort(key=lambda line: str(line["id"]))
        return {**data, "lines": lines, **measured, "model": model, "revision": revision}

    def picture_settings(self) -> dict[str, Any]:
        """Return what of `counting_settings` changes the picture itself: how it is taken, turned and masked."""
        data = self.counting_settings("", 0)
        source = {key: value for key, value in data["source"].items() if key not in _COUNTING_TIMES}
        return {"source": source, "privacy": data["privacy"]}

    @property
    def _measured(self) -> dict[str, Any]:
        """What is measured beside the count, and how; empty where nothing is."""
        data = self.model_dump(mode="json", include={"geometry", "lines"})
        lines = {
            line["id"]: given
            for line in data["lines"]
            if (given := {key: line[key] for key in _MEASURED if line[key] is not None})
        }
        geometry = {"geometry": data["geometry"]} if self.geometry.given else {}
        return {**geometry, **({"lines": lines} if lines else {})}


_COUNTING: Final[Any] = {
    "source": {
        "kind",
        "width",
        "height",
        "fps",
        "fps_limit",
        "pipeline",
        "exposure_us",
        "gain",
        "focus",
        "flicker_hz",
        "rotation",
        "frozen_s",
    },
    "detector": {"score", "weak_score", "same_iou", "any_iou", "region", "motion", "second_look"},
    "tracker": True,
    "lines": True,
    "counting": True,
    "privacy": {"masks"},
}
"""Keys that change a count. Names, places, texts and the ways in which counts are reported are not among them."""
_COUNTING_TIMES: Final = ("fps", "fps_limit", "frozen_s")
"""Keys of the source that change a count and no picture."""
_MEASURED: Final = ("lanes", "queue", "enters")
"""Keys of a line that change what is measured beside the count, hashed with [geometry] where they are given."""

TABLES: Final[Mapping[str, type[BaseModel]]] = {
    **{name: type(field.default) for name, field in Config.model_fields.items() if name != "lines"},
    "lines": LineConfig,
}
"""Model of each table of a configuration file, in their order; only [[lines]] may be repeated."""
