"""Configuration of the city side: city.toml as frozen models, with the words and rules of the device's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from edge_app.config.files import read_tables
from edge_app.config.mqtt import BrokerAccess, Text
from edge_app.config.office import PublicKey, PublicKeys
from edge_app.config.secrets import fill_key, fill_login, fill_office_key, fill_secrets, login_file
from edge_app.config.types import FilePath, OwnAddress, Slug, Table
from edge_app.config.wording import describe_error, own_errors
from edge_app.errors import ConfigError

_SQLITE: Final = "sqlite:///"
_CODE: Final = re.compile("[a-z]{2}")
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")


class CityAccess(BrokerAccess):
    """The city's MQTT broker, and how the city side logs in to it."""

    client_id: Text | None = Field(
        default=None,
        min_length=1,
        description="MQTT client id, of no other client; edge-app-city-WORKER without it. It stays the same.",
        examples=["edge-app-city-1"],
    )
    username: Text | None = Field(
        default=None, min_length=1, description="User name; none where the certificate is the login.", examples=["city"]
    )
    cert_file: FilePath | None = Field(
        default=None,
        description="Certificate of the city side, PEM; of kind `control` where the broker is ours.",
        examples=["city.pem"],
    )
    key_file: FilePath | None = Field(
        default=None, description="Key of that certificate, PEM.", examples=["city.key"], validate_default=True
    )


class BrokerConfig(Table):
    """How the broker of the table [mqtt] is read: over MQTT, or in its own protocol, which needs no session."""

    kind: Literal["mqtt", "nats", "rabbitmq"] = Field(
        default="mqtt", description="mqtt for mosquitto and others; nats reads JetStream, rabbitmq quorum queues."
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="TCP port of NATS (4222 without it) or AMQP (5672, or 5671 with mqtt.tls).",
        examples=[4222],
    )

    @field_validator("port")
    @classmethod
    def _of_a_queue(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("kind") == "mqtt":
            raise ValueError('is used only with broker.kind = "nats" or "rabbitmq"; the port of MQTT is mqtt.port')
        return value

    @property
    def by_names(self) -> bool:
        """True where the broker delivers what it retains for exact topics alone, so devices must be named to it."""
        return self.kind == "rabbitmq"

    def queue_port(self, *, tls: bool) -> int:
        """Return the port of the broker's own protocol."""
        return self.port or (4222 if self.kind == "nats" else 5671 if tls else 5672)


class DatabaseConfig(Table):
    """Where counts are kept: PostgreSQL, or for a small town SQLite in one file."""

    url: str = Field(
        default="sqlite:///city.sqlite3",
        description="postgresql://HOST:PORT/NAME, or sqlite:///FILE; without a login.",
        examples=["postgresql://127.0.0.1:5432/counts"],
    )
    username: str | None = Field(default=None, min_length=1, description="User of PostgreSQL.", examples=["counts"])
    password: SecretStr | None = Field(
        default=None,
        description="Password; better from EDGE_APP_DATABASE_PASSWORD, a systemd credential or a file.",
        examples=["secret"],
    )
    password_file: FilePath | None = Field(
        default=None, description="File that holds the password.", examples=["database.password"]
    )

    @field_validator("url")
    @classmethod
    def _kind(cls, value: str) -> str:
        if not value.startswith(("postgresql://", _SQLITE)):
            raise ValueError("must begin with postgresql:// or sqlite:///")
        if "@" in value:
            raise ValueError("has a login; give it as database.username and database.password_file")
        return value


class IngestConfig(Table):
    """How messages are taken from the broker."""

    worker: Slug = Field(
        default="1", description="Name of this worker; it stays the same, since the broker keeps messages for it."
    )
    shared: bool = Field(
        default=False, description="Share the messages with other workers; the broker must know shared subscriptions."
    )
    session_s: int = Field(
        default=7 * 86_400, ge=60, le=4_000_000, description="How long the broker keeps messages for a worker, s."
    )
    ask: bool = Field(default=True, description="Ask devices for what is missing; of workers that share, one does.")


class PageConfig(Table):
    """The page and the API. Others reach them through a proxy with TLS, whose address is `origin`."""

    enabled: bool = Field(
        default=True,
        description="false: no page, API and feeds, /health and /metrics alone; devices are asked and days archived as "
        "ever.",
    )
    host: OwnAddress = Field(default="127.0.0.1", description="Address of loopback to listen on.")
    port: int = Field(default=8800, ge=0, le=65535, description="TCP port, 0 for a free one.")
    origin: str = Field(
        default="",
        description="Address of the proxy; it must set X-Forwarded-For. With it everybody has to log in.",
        examples=["https://counts.example"],
    )
    cors: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description="Addresses of other pages that may use the API with a token.",
        examples=[("https://map.example",)],
    )
    tiles: FilePath | None = Field(
        default=None,
        description="The city's map under its sites, a PMTiles file; whoever reaches the page can read it.",
        examples=["city.pmtiles"],
    )

    @field_validator("host")
    @classmethod
    def _own_machine(cls, value: str) -> str:
        if not ip_address(value).is_loopback:
            raise ValueError("must be an address of loopback: put a proxy with TLS before it and name it in origin")
        return value

    @field_validator("origin", "cors")
    @classmethod
    def _is_origin(cls, value: Any) -> Any:
        for one in (value,) if isinstance(value, str) else value:
            if one and not _ORIGIN.fullmatch(one):
                raise ValueError("must be https://NAME or https://NAME:PORT, without a path")
        return value


class ArchiveConfig(Table):
    """Intervals of days long past, in Parquet files; sums stay in the database for ever."""

    folder: FilePath | None = Field(
        default=None,
        description="Folder of the files. Without it all stays in the database. Have it in your backups first.",
        examples=["archive"],
    )
    minutes_days: int = Field(
        default=90, ge=1, le=36_500, description="Whole days (UTC) for which intervals stay in the database."
    )

    @field_validator("folder")
    @classmethod
    def _is_no_pattern(cls, value: Path | None) -> Path | None:
        if value is not None and any(sign in str(value) for sign in "*?[]{}"):
            raise ValueError("may have none of * ? [ ] { } in its path, which would stand for other files")
        return value


class FeedsConfig(Table):
    """The newest quarters of an hour in standard formats, for other systems; each is off without `true`."""

    country: str | None = Field(default=None, description="Country of the publisher, two letters.", examples=["de"])
    publisher: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Who publishes, as the national access point names the city.",
        examples=["City of Example"],
    )
    language: str = Field(default="en", description="Language of the names of roads.")
    datex2: bool = Field(default=False, description="DATEX II 3.6; it needs country and publisher.")
    fiware: bool = Field(default=False, description="FIWARE TrafficFlowObserved, NGSI-LD.")
    sensorthings: bool = Field(default=False, description="OGC SensorThings 1.1, read alone.")

    @field_validator("country", "language")
    @classmethod
    def _is_a_code(cls, value: str | None) -> str | None:
        if value is not None and not _CODE.fullmatch(value):
            raise ValueError("must be a code of two small letters, such as de")
        return value

    @field_validator("datex2")
    @classmethod
    def _has_a_publisher(cls, value: bool, info: ValidationInfo) -> bool:
        # A key that was refused is not here, and has been told already.
        if value and None in (info.data.get(key, "") for key in ("country", "publisher")):
            raise ValueError("needs feeds.country and feeds.publisher, which every DATEX II publication names")
        return value


class ReviewsConfig(Table):
    """Pictures of crossings that devices send for people to review, where their owners have allowed it."""

    keep_days: int = Field(default=30, ge=1, le=365, description="Pictures are deleted after this many days.")


class SigningConfig(Table):
    """The key by which devices know that something comes from the office."""

    key_file: FilePath | None = Field(
        default=None,
        description="Private key, as `edge-app fleet key` makes it. Only `edge-app fleet` reads it, never a worker.",
        examples=["office.key"],
    )
    public_key: PublicKey | None = Field(
        default=None,
        description="Its public key, as `edge-app fleet key` prints it: by it the page tells what the office has set "
        "from what somebody else has put at the broker.",
        examples=["xWuAe37DG6hGmiEe9phn8QfKGZKan6c406O1JLfSKPw="],
    )
    former: PublicKeys = Field(
        default=(),
        strict=False,
        max_length=4,
        description="Public keys of before, while keys change: what they have signed is changed, and signed anew.",
        examples=[["xWuAe37DG6hGmiEe9phn8QfKGZKan6c406O1JLfSKPw="]],
    )


class CityConfig(Table):
    """The whole configuration of the city side."""

    mqtt: CityAccess = CityAccess()
    broker: BrokerConfig = BrokerConfig()
    database: DatabaseConfig = DatabaseConfig()
    ingest: IngestConfig = IngestConfig()
    archive: ArchiveConfig = ArchiveConfig()
    page: PageConfig = PageConfig()
    feeds: FeedsConfig = FeedsConfig()
    signing: SigningConfig = SigningConfig()
    reviews: ReviewsConfig = ReviewsConfig()


TABLES: Final[Mapping[str, type[BaseModel]]] = {
    "mqtt": CityAccess,
    "broker": BrokerConfig,
    "database": DatabaseConfig,
    "ingest": IngestConfig,
    "archive": ArchiveConfig,
    "page": PageConfig,
    "feeds": FeedsConfig,
    "signing": SigningConfig,
    "reviews": ReviewsConfig,
}


def load(path: Path, environment: Mapping[str, str] = os.environ, *, process: str = "") -> CityConfig:
    """Return the configuration in a TOML file; relative paths in it start at its folder.

    process: name of one that has a certificate of its own, where there is one; "" for the worker beside the page. Some
    brokers take the name in a certificate for the client id: of two processes with one certificate each ends the
    connection of the other.
    Passwords come from EDGE_APP_MQTT_PASSWORD and EDGE_APP_DATABASE_PASSWORD, systemd credentials, a password_file or
    the file itself, in this order; the certificate's key also from the credential mqtt_key when the file names none.
    Raises ConfigError: with every problem that was found.
    """
    if not os.path.lexists(path):
        raise ConfigError(f"{path}: no such file; `edge-app city setup` writes one")
    tables = read_tables(path)
    if process:
        fill_login(tables, path.parent, environment, process)
    return validated(tables, path.parent, environment)


def login_files(folder: Path) -> Sequence[Path]:
    """Return the files with the certificates of single processes. folder: of the configuration."""
    return [file for place in (folder, folder / "credentials") for file in sorted(place.glob(login_file("*")))]


def shared_login(config: CityConfig, process: str) -> str:
    """Return one sentence where a process has the certificate of the worker beside the page, "" where it has not."""
    own = ("login.pem", login_file(process))
    if config.broker.kind != "mqtt" or config.mqtt.cert_file is None or config.mqtt.cert_file.name in own:
        return ""
    return (
        f"{config.mqtt.cert_file} is the worker's certificate too: a broker that takes its name for the client id, as "
        f"the shipped one does, ends the worker's connection for this one; put a certificate of its own with its key "
        f"into {login_file(process)} (docs/city.md)"
    )


def validated(given: Mapping[str, Any], folder: Path, environment: Mapping[str, str] = os.environ) -> CityConfig:
    """Return the configuration of tables as TOML has them. folder: where relative paths start. Raises ConfigError."""
    tables: dict[str, Any] = {name: {} for name in TABLES} | dict(given)
    fill_key(tables, environment)
    fill_office_key(tables, environment)
    problems = list(fill_secrets(tables, folder, environment, ("mqtt", "database")))
    try:
        config = CityConfig.model_validate(tables, context={"folder": folder})
    except ValidationError as error:
        problems += [describe_error(one, tables, TABLES) for one in own_errors(error.errors(include_url=False))]
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return config


def database_url(config: DatabaseConfig, folder: Path) -> str:
    """Return the whole URL of a database, with its login. folder: where relative files start."""
    if config.url.startswith(_SQLITE):
        return f"{_SQLITE}{folder.absolute() / config.url.removeprefix(_SQLITE)}"
    if config.username is None:
        return config.url
    kind, _, rest = config.url.partition("://")
    password = f":{quote(config.password.get_secret_value(), safe='')}" if config.password else ""
    return f"{kind}://{quote(config.username, safe='')}{password}@{rest}"
