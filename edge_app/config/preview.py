"""Models of the tables [privacy] and [preview]: hidden parts of the picture, and live pictures over RTSP."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from edge_app.config.types import Area, FilePath, OwnAddress, Table, only_with

Side = Annotated[int, Field(ge=160, le=3840)]
Rate = Annotated[float, Field(ge=1, le=60)]


class PrivacyConfig(Table):
    """Parts of the picture that nobody may see; masks apply to detector, preview, snapshots and harvest."""

    masks: Annotated[tuple[Area, ...], Field(strict=False)] = Field(
        default=(),
        description="Blackened before anything uses the frame: [[x, y], [x, y]] is a rectangle, more points are a "
        "polygon, in 0..1 of the picture.",
    )
    pixelate: bool = Field(
        default=False,
        description="Show people, riders and areas of number plates in coarse pixels in preview and snapshots; only "
        "masks hide what the detector misses.",
    )


class PreviewConfig(Table):
    """Live pictures over RTSP for setting up the device: /annotated and /plain. Costs nothing unless watched."""

    enabled: bool = Field(default=False, description="Serve live pictures; needs GStreamer's RTSP server.")
    address: OwnAddress = Field(
        default="127.0.0.1", description="Address of this device to listen on; any but loopback needs a password."
    )
    port: int = Field(default=8554, ge=1, le=65535, description="TCP port.")
    username: str | None = Field(default=None, min_length=1, description="User name.", examples=["technician"])
    password: SecretStr | None = Field(
        default=None,
        description="Password; better from EDGE_APP_PREVIEW_PASSWORD, a systemd credential preview_password or a file.",
        examples=["secret"],
    )
    password_file: FilePath | None = Field(
        default=None, description="File that holds the password.", examples=["preview.password"]
    )
    rate: Rate = Field(default=10.0, description="/annotated: largest frame rate, frames/s.")
    width: Side = Field(default=960, description="/annotated: largest width, px; the height follows.")
    plain_rate: Rate = Field(default=10.0, description="/plain: largest frame rate, frames/s.")
    plain_width: Side = Field(default=1280, description="/plain: largest width, px.")
    encoder: Literal["auto", "nvv4l2h264enc", "v4l2h264enc", "x264enc", "openh264enc"] = Field(
        default="auto",
        description="H.264 encoder; auto: the first available of nvv4l2h264enc, v4l2h264enc, x264enc, openh264enc.",
    )

    @field_validator("password", "password_file")
    @classmethod
    def _has_username(cls, value: object, info: ValidationInfo) -> object:
        return only_with("username", value, info)

    @field_validator("password")
    @classmethod
    def _not_empty(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value():
            raise ValueError("must not be empty; without one, leave username out too")
        return value

    @property
    def open_to_all(self) -> bool:
        """True when other machines could watch without a password."""
        return not ip_address(self.address).is_loopback and self.password is None

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.password.get_secret_value(),) if self.password else ()
