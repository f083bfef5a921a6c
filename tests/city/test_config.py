"""city.toml: its example, its sentences, and secrets that stay out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_app.city.config import TABLES, BrokerConfig, CityConfig, database_url, load, shared_login
from edge_app.config.example import example
from edge_app.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "city.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_example_is_the_default(tmp_path: Path) -> None:
    assert load(written(tmp_path, example(TABLES, "edge-app city config")), {}) == CityConfig()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[database]\nurl = "mysql://x"', "database.url: must begin with postgresql:// or sqlite:///"),
        ('[database]\nurl = "postgresql://me:pw@x/y"', "database.url: has a login; give it as database.username"),
        ('[page]\nhost = "0.0.0.0"', "page.host: must be an address of loopback"),
        ('[page]\norigin = "counts.example"', "page.origin: must be https://NAME or https://NAME:PORT, without a path"),
        ('[page]\ncors = ["https://map.example/x"]', "page.cors: must be https://NAME or https://NAME:PORT"),
        ('[ingest]\nwroker = "2"', 'ingest.wroker: unknown key (did you mean "worker"?)'),
        ('[ingest]\nworker = "Über"', "ingest.worker: may have only a-z, 0-9 and hyphens"),
        ('[broker]\nkind = "kafka"', "broker.kind: must be 'mqtt', 'nats' or 'rabbitmq', not \"kafka\""),
        ("[broker]\nport = 4222", 'broker.port: is used only with broker.kind = "nats" or "rabbitmq"'),
        ("[feeds]\ndatex2 = true", "feeds.datex2: needs feeds.country and feeds.publisher"),
        ('[feeds]\ncountry = "Germany"', "feeds.country: must be a code of two small letters, such as de"),
        ("[lines]\n", "lines: unknown table or key"),
        ('[mqtt]\nhost = "mqtts://broker:8883"', "mqtt.host: is a URL; write host"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, text), {})
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "tls", "port"), [("nats", True, 4222), ("rabbitmq", False, 5672), ("rabbitmq", True, 5671)]
)
def test_the_port_of_the_brokers_own_protocol_is_its_usual_one(kind: str, tls: bool, port: int) -> None:
    assert BrokerConfig.model_validate({"kind": kind}).queue_port(tls=tls) == port
    assert BrokerConfig.model_validate({"kind": kind, "port": 9}).queue_port(tls=tls) == 9


def test_the_password_of_the_database_comes_from_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path, '[database]\nurl = "postgresql://db:5432/counts"\nusername = "counts"\n')
    config = load(path, {"EDGE_APP_DATABASE_PASSWORD": "p@ss/w"})
    assert database_url(config.database, tmp_path) == "postgresql://counts:p%40ss%2Fw@db:5432/counts"
    assert "p@ss" not in repr(config)


def test_a_file_of_sqlite_lies_beside_the_configuration(tmp_path: Path) -> None:
    assert database_url(CityConfig().database, tmp_path) == f"sqlite:///{tmp_path}/city.sqlite3"
    config = load(written(tmp_path, '[database]\nurl = "sqlite:////var/lib/city.sqlite3"'), {})
    assert database_url(config.database, tmp_path) == "sqlite:////var/lib/city.sqlite3"


def test_the_example_speaks_of_the_city_side_and_not_of_a_device() -> None:
    text = example(TABLES, "edge-app city config")
    mqtt = text[: text.index("[broker]")]
    assert "device" not in mqtt
    assert "edge-app-SITE" not in mqtt
    assert "crossings" not in mqtt
    assert '#cert_file = "city.pem"' in mqtt


CERTIFIED = '[mqtt]\ntls = true\ncert_file = "city.pem"\nkey_file = "city.key"\n'


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    for name in ("city.pem", "city.key"):
        (tmp_path / name).write_text("PEM")
    return written(tmp_path, CERTIFIED)


def test_a_further_process_takes_its_own_certificate_wherever_it_lies(certified: Path, tmp_path: Path) -> None:
    beside, secrets = tmp_path / "login-2.pem", tmp_path / "credentials"
    secrets.mkdir()
    installed = {"CREDENTIALS_DIRECTORY": str(secrets)}
    assert load(certified, installed, process="2").mqtt.cert_file == tmp_path / "city.pem"
    for place in (beside, secrets / "login-2.pem", secrets / "login.pem"):
        place.write_text("PEM")
        mqtt = load(certified, installed, process="2").mqtt
        assert (mqtt.cert_file, mqtt.key_file) == (place, place)
    assert load(certified, installed).mqtt.cert_file == tmp_path / "city.pem"


@pytest.mark.parametrize("content", ["", "none"])
def test_what_a_unit_hands_over_where_there_is_no_file_is_none(certified: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "login.pem").write_text(content)
    config = load(certified, {"CREDENTIALS_DIRECTORY": str(tmp_path)}, process="office")
    assert config.mqtt.cert_file == tmp_path / "city.pem"
    assert "put a certificate of its own with its key into login-office.pem" in shared_login(config, "office")


def test_only_a_shared_certificate_of_mqtt_is_told(certified: Path, tmp_path: Path) -> None:
    (tmp_path / "login-fleet.pem").write_text("PEM")
    assert shared_login(load(certified, {}, process="fleet"), "fleet") == ""
    certified.write_text(f'{CERTIFIED}[broker]\nkind = "nats"\n')
    assert shared_login(load(certified, {}, process="office"), "office") == ""
    certified.write_text('[mqtt]\nusername = "city"\n')
    assert shared_login(load(certified, {}, process="office"), "office") == ""
