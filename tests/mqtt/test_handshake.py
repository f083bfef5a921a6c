"""Handshake of the session with real brokers: MQTT 5 or 3.1.1, and TLS with certificates of both sides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.errors import BrokerError, ConfigError
from edge_app.mqtt.embedded_broker import HOST, embedded
from edge_app.mqtt.endpoint import Endpoint, Tls
from edge_app.mqtt.events import Connected
from edge_app.mqtt.session import Session, probe
from tests.support.brokers import (
    Authority,
    Mosquitto,
    mosquitto,
    needs_iotcore,
    needs_mosquitto,
    needs_openssl,
    run_until,
    session,
)
from tests.support.ports import free_port
from tests.support.relay import relay


@needs_iotcore
def test_the_embedded_broker_supports_mqtt_5() -> None:
    with embedded() as port:
        assert probe(Endpoint(HOST, port), "check").protocol == "5"


@needs_iotcore
def test_3_1_1_is_used_where_the_broker_closes_the_connection_on_5() -> None:
    import iotcore

    with iotcore.Broker(port=free_port(), listen=HOST) as legacy:
        assert probe(Endpoint(HOST, legacy.port), "check").protocol == "3.1.1"
        with pytest.raises(BrokerError, match="closes the connection without an answer"):
            probe(Endpoint(HOST, legacy.port), "check", protocol="5", timeout_s=3.0)


@needs_mosquitto
def test_3_1_1_is_used_at_once_where_the_broker_refuses_5(broker: Mosquitto) -> None:
    with relay(broker.port, refuses_v5=True) as between:
        subject = session(between.port)
        assert run_until(subject, Connected)[-1] == Connected("3.1.1")
        assert (between.accepted, subject.failures) == (2, 0)
        subject.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path_factory.mktemp("secure"), "allow_anonymous true", *_tls(authority, "server")) as running:
        yield running


def _tls(authority: Authority, name: str, days: int = 2) -> tuple[str, ...]:
    certificate, key = authority.sign(name, days=days)
    return f"cafile {authority.ca}", f"certfile {certificate}", f"keyfile {key}"


def probe_error(to: Endpoint) -> str:
    with pytest.raises(BrokerError) as caught:
        probe(to, "check", timeout_s=5.0)
    return str(caught.value)


@needs_mosquitto
@needs_openssl
def test_tls_with_a_private_authority(authority: Authority, secure: Mosquitto) -> None:
    assert probe(Endpoint(HOST, secure.port, tls=Tls(authority.ca)), "check").protocol == "5"


@needs_mosquitto
@needs_openssl
def test_tls_with_the_wrong_authority(secure: Mosquitto, tmp_path: Path) -> None:
    problem = probe_error(Endpoint(HOST, secure.port, tls=Tls(Authority(tmp_path).ca)))
    assert "its certificate is not accepted (" in problem
    assert "check the CA file" in problem
    assert "its certificate is not accepted (" in probe_error(Endpoint(HOST, secure.port, tls=Tls()))


@needs_mosquitto
@needs_openssl
def test_tls_for_another_host_name(authority: Authority, secure: Mosquitto) -> None:
    problem = probe_error(Endpoint("localhost", secure.port, tls=Tls(authority.ca)))
    assert "not valid for 'localhost'" in problem


@needs_mosquitto
@needs_openssl
def test_tls_with_an_expired_certificate(authority: Authority, tmp_path: Path) -> None:
    with mosquitto(tmp_path, "allow_anonymous true", *_tls(authority, "expired", days=-1)) as expired:
        problem = probe_error(Endpoint(HOST, expired.port, tls=Tls(authority.ca)))
    assert "certificate has expired" in problem
    assert "this device's clock" in problem


@needs_mosquitto
@needs_openssl
def test_tls_with_a_client_certificate(authority: Authority, tmp_path: Path) -> None:
    settings = ("require_certificate true", "use_identity_as_username true", *_tls(authority, "mutual"))
    certificate, key = authority.sign("cam-1")
    with mosquitto(tmp_path, *settings) as strict:
        assert probe(Endpoint(HOST, strict.port, tls=Tls(authority.ca, certificate, key)), "check").protocol == "5"
        assert "does it want a client certificate" in probe_error(Endpoint(HOST, strict.port, tls=Tls(authority.ca)))


@needs_mosquitto
@needs_openssl
def test_tls_and_plain_text_mixed_up_are_explained(authority: Authority, broker: Mosquitto, secure: Mosquitto) -> None:
    assert "is this its TLS port?" in probe_error(Endpoint(HOST, broker.port, tls=Tls(authority.ca)))
    assert "without TLS" in probe_error(Endpoint(HOST, secure.port))


@needs_openssl
def test_unusable_tls_files_are_named(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.sign("a")
    _, other = authority.sign("b")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    for tls in (
        Tls(tmp_path / "absent.pem"),
        Tls(nonsense),
        Tls(authority.ca, certificate, other),
        Tls(authority.ca, nonsense, key),
    ):
        with pytest.raises(ConfigError, match=r"\.pem"):
            Session(Endpoint(HOST, tls=tls), "test")
