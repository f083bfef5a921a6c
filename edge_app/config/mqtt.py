"""Model of the table [mqtt], and what to write where a host is given as something else."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from edge_app.config.types import FilePath, Table, distinct, only_with, topic_levels

_LOCAL: Final = "127.0.0.1"
_SCHEMES: Final = {"mqtts": 8883, "ssl": 8883, "tls": 8883, "wss": 443, "https": 443, "ws": 80, "http": 80}
"""Scheme of a broker's URL -> its usual port; 1883 for all others."""
_LONGEST_TEXT: Final = 65535
_ENCRYPTED: Final = ("mqtts", "ssl", "tls", "wss", "https")


def host_problem(host: str) -> str:
    """Return what to write instead of a host that is more than a name or an address, empty when it is one.

    Logins are not repeated.
    """
    if not host.strip():
        return "must not be empty"
    if re.search(r"\s", host):
        return f'has a blank; write "{"".join(host.rpartition("@")[2].split())}"'
    if not host.isprintable():
        return "has a character that cannot be shown, which no name or address has"
    if "://" in host:
        return _url_problem(host)
    if "@" in host:
        return "has a login; give it as mqtt.username and mqtt.password"
    if "/" in host:
        return f'has a path; write "{host.partition("/")[0]}", and with transport = "websockets" the path as mqtt.path'
    bracketed = re.fullmatch(r"\[([0-9a-fA-F:.%]+)\](?::(\d+))?", host)
    name, _, port = (bracketed[1], "", bracketed[2] or "") if bracketed else host.rpartition(":")
    if bracketed or (name and ":" not in name):
        also = f" and mqtt.port = {port}" if port.isdecimal() else ""
        return f'has {"a port" if port else "brackets"}; write "{name}"{also}'
    return "" if ":" not in host or _is_address(host) else "is neither a name nor an address"


def _url_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port, scheme = parts.hostname, parts.port, parts.scheme.lower()
    except ValueError:
        host = None
    if not host:
        return "is a URL; write the name or address alone, and the port as mqtt.port"
    keys = [f'host = "{host}"', f"port = {port or _SCHEMES.get(scheme, 1883)}"]
    keys += ["tls = true"] if scheme in _ENCRYPTED else []
    if scheme in ("ws", "wss", "http", "https"):
        keys += ['transport = "websockets"', f'path = "{parts.path or "/"}"']
    login = ", and its login as username and password" if "@" in parts.netloc else ""
    return f"is a URL; write {', '.join(keys)}{login}"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _host(value: str) -> str:
    problem = host_problem(value)
    if problem:
        raise ValueError(problem)
    return value


def _text(value: str) -> str:
    if "\0" in value or len(value.encode()) > _LONGEST_TEXT:
        raise ValueError(f"must have no NUL character and at most {_LONGEST_TEXT} bytes, as all texts of MQTT")
    return value


Host = Annotated[str, AfterValidator(_host)]
Text = Annotated[str, AfterValidator(_text)]


class BrokerAccess(Table):
    """How a broker is reached and logged in to, by a device or by the city side."""

    host: Host = Field(default=_LOCAL, description="Name or address of the broker.")
    hosts: Annotated[tuple[Host, ...], Field(strict=False), AfterValidator(distinct)] = Field(
        default=(),
        max_length=16,
        description="Names or addresses of one cluster, tried in turn, instead of host; all with the same port.",
    )
    port: int = Field(default=1883, ge=1, le=65535, description="TCP port: 1883, or usually 8883 with TLS.")
    transport: Literal["tcp", "websockets"] = Field(
        default="tcp", description="tcp or websockets; with tls = true both are encrypted."
    )
    path: str | None = Field(
        default=None, max_length=1000, description="websockets: path of the URL; /mqtt without it.", examples=["/mqtt"]
    )
    prefix: str = Field(default="", description="Levels of the topic before traffic/v1, such as city/north.")
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        default="auto", description="MQTT version: 5, 3.1.1 or auto (5, and 3.1.1 where a broker refuses 5)."
    )
    keepalive_s: int = Field(
        default=30, ge=5, le=600, description="A broker that is silent for longer is taken for lost, s."
    )
    client_id: Text | None = Field(
        default=None,
        min_length=1,
        description="MQTT client id, of no other client; edge-app-SITE.DEVICE without it.",
        examples=["edge-app-demo-site.demo-device"],
    )
    username: Text | None = Field(default=None, min_length=1, description="User name.", examples=["demo-device"])
    password: SecretStr | None = Field(
        default=None,
        description="Password; better from EDGE_APP_MQTT_PASSWORD, a systemd credential mqtt_password or a file.",
        examples=["secret"],
    )
    password_file: FilePath | None = Field(
        default=None, description="File that holds the password.", examples=["mqtt.password"]
    )
    tls: bool = Field(default=False, description="Encrypt, and check the broker's certificate.")
    ca_file: FilePath | None = Field(
        default=None, description="Certificate authority to trust instead of the system's, PEM.", examples=["ca.pem"]
    )
    cert_file: FilePath | None = Field(
        default=None, description="Certificate of this device, PEM.", examples=["device.pem"]
    )
    key_file: FilePath | None = Field(
        default=None, description="Key of that certificate, PEM.", examples=["device.key"], validate_default=True
    )

    @field_validator("hosts")
    @classmethod
    def _instead_of_host(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("host", _LOCAL) != _LOCAL:
            raise ValueError("give either mqtt.host or mqtt.hosts")
        return value

    @field_validator("prefix")
    @classmethod
    def _levels(cls, value: str) -> str:
        return value and topic_levels(value, "city/north")

    @field_validator("path")
    @classmethod
    def _path_of_websockets(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("transport") == "tcp":
            raise ValueError('is used only with mqtt.transport = "websockets"')
        if value is not None and not re.fullmatch(r"/[!-~]*", value):
            raise ValueError('must begin with a slash and have no blank, such as "/mqtt"')
        return value

    @field_validator("password", "password_file")
    @classmethod
    def _has_username(cls, value: object, info: ValidationInfo) -> object:
        return only_with("username", value, info)

    @field_validator("ca_file", "cert_file")
    @classmethod
    def _only_with_tls(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value and info.data.get("tls") is False:
            raise ValueError("is used only with mqtt.tls = true")
        return value

    @field_validator("key_file")
    @classmethod
    def _with_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "cert_file" in info.data and (value is None) != (info.data["cert_file"] is None):
            raise ValueError("must be given together with mqtt.cert_file: give both or none")
        return value

    @property
    def addresses(self) -> tuple[str, ...]:
        """The hosts in the order in which they are tried."""
        return self.hosts or (self.host,)


class MqttConfig(BrokerAccess):
    """The MQTT broker, and how this device logs in to it."""

    command_qos: Literal[0, 1] = Field(
        default=1,
        description="QoS at which this device subscribes to what is sent to it: 0 at a cluster of NATS, whose nodes "
        "have to agree on every subscription of QoS 1.",
    )
    latest: bool = Field(
        default=True,
        description="Publish the newest interval once more, retained, on latest/LINE; false halves what is sent, and "
        "takes back what was retained. Home Assistant needs it.",
    )
    crossings: bool = Field(
        default=False, description="Publish each crossing at once too, on crossings/LINE with QoS 0; never stored."
    )
