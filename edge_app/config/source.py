"""Model of the table [source]: keys by kind of source, and a stream's address with and without its login."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, ValidationInfo, field_serializer, field_validator

from edge_app.config.types import FilePath, Table, not_empty, only_with
from edge_app.system.redaction import CUT_LOGIN, MASK, has_cut_login, redacted_url

Kind: TypeAlias = Literal["street", "file", "camera", "stream", "gstreamer", "picamera"]
Flow: TypeAlias = Annotated[float, Field(ge=0, le=60)]

_REQUIRED_BY: Final = {"path": "file", "url": "stream", "pipeline": "gstreamer"}
"""Key -> the kind of source that requires it."""
_OPTIONAL_FOR: Final = {"url": "gstreamer"}
"""Key -> a further kind of source that may use it."""
_SHORTEST_SECRET: Final = 6
"""Characters of a query or a path from which it is registered as a secret."""


def _is_stream(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("rtsp", "rtsps", "http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the message of this error would show the URL with its password
        return False


def name_source(tables: dict[str, Any]) -> Iterator[str]:
    """Yield one sentence when no source is named, and put the kind that its other keys speak of into the table."""
    source = tables["source"]
    if not isinstance(source, dict) or "kind" in source:
        return
    kind = next((kind for key, kind in {**_REQUIRED_BY, "device": "camera"}.items() if key in source), None)
    yield (
        f'source.kind: is required: name the camera, such as kind = "{kind or "camera"}" (camera, stream, picamera, '
        'gstreamer or file; "street" is a rendered road for demonstrations)'
    )
    tables["source"] = {"kind": kind or "street"} | source


class SourceConfig(Table):
    """Source of the pictures."""

    kind: Kind = Field(
        default="street",
        description="Kind: camera (V4L2), stream, picamera, gstreamer, file, or street (a rendered one, whose counts "
        "are invented). `run` needs it.",
        examples=["camera"],
    )
    path: FilePath | None = Field(
        default=None, description="file: the video file.", examples=["road.mp4"], validate_default=True
    )
    loop: bool = Field(default=False, description="file: start again at its end.")
    device: str = Field(
        default="/dev/video0", description="camera: its path or number; picamera, gstreamer: its number."
    )
    width: int | None = Field(
        default=None, ge=64, le=7680, description="All but file and stream: requested width, px.", examples=[1280]
    )
    height: int | None = Field(
        default=None, ge=64, le=4320, description="All but file and stream: requested height, px.", examples=[720]
    )
    fps: float | None = Field(
        default=None, gt=0, le=240, description="All but file and stream: requested frames/s.", examples=[15.0]
    )
    url: SecretStr | None = Field(
        default=None,
        description="stream, gstreamer: rtsp:// or http(s)://; ${NAME} is taken from the environment.",
        examples=["rtsp://192.0.2.10:554/stream1"],
        validate_default=True,
    )
    transport: Literal["auto", "tcp", "udp"] = Field(
        default="auto", description="stream, RTSP: tcp, udp, or auto (tcp, and udp where the camera refuses tcp)."
    )
    pipeline: str | None = Field(
        default=None,
        min_length=1,
        description="gstreamer: jetson-csi, jetson-rtsp, jetson-rtsp-h265 or your own in launch syntax, without sink; "
        "{url}, {device}, {width}, {height} and {fps} are filled in.",
        examples=["jetson-rtsp"],
        validate_default=True,
    )
    exposure_us: int | None = Field(
        default=None,
        ge=10,
        le=1_000_000,
        description="picamera: fixed exposure, us; automatic without it.",
        examples=[4000],
    )
    gain: float | None = Field(
        default=None,
        ge=1,
        le=64,
        description="picamera: fixed gain of the sensor; automatic without it.",
        examples=[2.0],
    )
    focus: float = Field(
        default=0.0, ge=0, le=32, description="picamera: fixed focus, 1/m; 0 is infinity. Autofocus stays off."
    )
    flicker_hz: Literal[0, 50, 60] = Field(
        default=0, description="picamera: mains frequency of lamps, 50 or 60; 0 does not suppress flicker."
    )
    username: str | None = Field(default=None, description="stream: user name.", examples=["viewer"])
    password: SecretStr | None = Field(
        default=None,
        description="stream: password; better from EDGE_APP_SOURCE_PASSWORD, a systemd credential source_password or "
        "a file.",
        examples=["secret"],
    )
    password_file: FilePath | None = Field(
        default=None, description="stream: file that holds the password.", examples=["camera.password"]
    )
    fps_limit: float | None = Field(
        default=None, gt=0, le=240, description="Use at most this many frames/s.", examples=[15.0]
    )
    rotation: Literal[0, 90, 180, 270] = Field(
        default=0, description="Turn the picture clockwise by 0, 90, 180 or 270 degrees."
    )
    frozen_s: float = Field(
        default=10.0, ge=1, le=600, description="The same picture for this many seconds is a fault."
    )
    seed: int = Field(default=1, ge=0, description="street: the same seed gives the same traffic.")
    light: Literal["day", "dusk", "cycle"] = Field(default="day", description="street: day, dusk, or a cycle of both.")
    flow: Annotated[tuple[Flow, Flow], Field(strict=False)] = Field(
        default=(14.0, 14.0), description="street: vehicles per minute to the right and to the left."
    )

    @field_validator("device", mode="before")
    @classmethod
    def _number_or_path(cls, value: object) -> object:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("must not contain a NUL character, which no file name can")
        return str(value) if type(value) is int and 0 <= value < 1000 else not_empty(value)

    @field_validator("url")
    @classmethod
    def _stream_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and has_cut_login(value.get_secret_value()):
            raise ValueError(CUT_LOGIN)
        if value is not None and not _is_stream(value.get_secret_value()):
            raise ValueError("must be rtsp://, rtsps://, http:// or https:// with a host (and a port below 65536)")
        return value

    @field_validator("path", "url", "pipeline")
    @classmethod
    def _fits_kind(cls, value: object, info: ValidationInfo) -> object:
        kind, required_by = info.data.get("kind"), _REQUIRED_BY[str(info.field_name)]
        if kind == required_by and value is None:
            raise ValueError(f'is required when source.kind is "{kind}"')
        if value is not None and kind not in (None, required_by, _OPTIONAL_FOR.get(str(info.field_name))):
            raise ValueError(f'is for source.kind = "{required_by}", but source.kind is "{kind}"')
        return value

    @field_validator("password", "password_file")
    @classmethod
    def _has_username(cls, value: object, info: ValidationInfo) -> object:
        return only_with("username", value, info)

    @field_serializer("url")
    def _dump_url(self, _value: SecretStr | None) -> str | None:
        return self.redacted_address

    @property
    def redacted_address(self) -> str | None:
        """The URL as it may be shown: without login, query and the settings that some cameras take in the path."""
        return None if self.url is None else redacted_url(self.url.get_secret_value())

    @property
    def address(self) -> str | None:
        """The URL as it is opened, with the login; a secret."""
        if self.url is None:
            return None
        parts = urlsplit(self.url.get_secret_value())
        if self.username is None:
            return urlunsplit(parts)
        login = quote(self.username, safe="")
        if self.password is not None:
            login += ":" + quote(self.password.get_secret_value(), safe="")
        return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}"))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secret parts of the address: the password, plain and percent-encoded, and what `redacted_url` leaves out.

        A short query or path is no secret of its own: registered, a "1" would disappear from every sentence.
        """
        parts = urlsplit(self.address or "")
        password = self.password.get_secret_value() if self.password else None
        path = parts.path if MASK in redacted_url(f"host{parts.path}") else ""
        texts = [
            text for part in (path, parts.query) for text in (part, unquote(part)) if len(text) >= _SHORTEST_SECRET
        ]
        return tuple(dict.fromkeys(t for t in (parts.password, unquote(parts.password or ""), *texts, password) if t))

    @property
    def options(self) -> dict[str, Any]:
        """Arguments for the source of this kind, as it runs in service: in real time."""
        requested = {key: value for key in ("width", "height", "fps") if (value := getattr(self, key)) is not None}
        number = self.device.removeprefix("/dev/video")  # the default is the path of the first camera
        common = {"rotation": self.rotation, "fps_limit": self.fps_limit}
        camera = {"frozen_s": self.frozen_s, **requested, **common}
        exposure = {"exposure_us": self.exposure_us, "gain": self.gain}
        lens = {"focus": self.focus, "flicker_hz": self.flicker_hz}
        options: dict[Kind, dict[str, Any]] = {
            "street": {**requested, "seed": self.seed, "light": self.light, "flow": self.flow, "pace": "real"},
            "file": {"path": self.path, "loop": self.loop, "pace": "real", **common},
            "camera": {"device": self.device, **camera},
            "stream": {"url": self.address, "transport": self.transport, "frozen_s": self.frozen_s, **common},
            "gstreamer": {"pipeline": self.pipeline, "device": number, "url": self.address or "", **camera},
            "picamera": {"device": number, **exposure, **lens, **camera},
        }
        return options[self.kind]
