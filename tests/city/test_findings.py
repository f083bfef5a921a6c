"""`edge-app city check` says what is well and what is not, and changes nothing."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from edge_app import cli
from edge_app.city.api import build_api
from edge_app.city.config import CityConfig, load
from edge_app.city.database.engine import open_database, state_of
from edge_app.city.findings import hidden
from edge_app.city.inbox import Inbox
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.city.service import open_inbox
from edge_app.errors import StoreError
from edge_app.http.server import Server
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.session import Session
from edge_app.system.signatures import make_key
from tests.support.brokers import (
    SHORT,
    Authority,
    Mosquitto,
    eventually,
    mosquitto,
    needs_mosquitto,
    needs_openssl,
    password_file,
    run_until,
)
from tests.support.disks import small_disk
from tests.support.nats_server import nats_server, needs_nats
from tests.support.ports import free_port

__all__ = ["small_disk"]  # a fixture


def check(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    code = cli.main(["city", "check", "--config", str(folder / "city.toml")])
    return code, " ".join(capsys.readouterr().out.split()).replace(" ok ", "\nok ").splitlines()


def test_a_city_that_signs_is_told_to_name_its_public_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = f"[mqtt]\nport = {free_port()}\n[page]\nport = {free_port()}\n[signing]\nkey_file = 'office.key'\n"
    (tmp_path / "city.toml").write_text(toml)
    assert "warn signing: signing.public_key is not named" in check(tmp_path, capsys)[1][-1]
    (tmp_path / "city.toml").write_text(f"{toml}public_key = '{'A' * 43}='\n")
    assert "ok signing: signing.public_key tells what the office has set" in check(tmp_path, capsys)[1][-1]


def test_a_signing_key_that_the_office_cannot_start_with_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before its unit is started again: it does not start with a wrong configuration, and nobody stops a roll-out."""
    toml = f"[mqtt]\nport = {free_port()}\n[page]\nport = {free_port()}\n[signing]\nkey_file = 'office.key'\n"
    key = make_key(tmp_path / "office.key").public_key
    (tmp_path / "city.toml").write_text(f"{toml}public_key = '{'A' * 43}='\n")
    told = check(tmp_path, capsys)[1][-1]
    assert f"FAIL signing: signing.public_key is not that of {tmp_path}/office.key, which is {key}" in told
    (tmp_path / "city.toml").write_text(f"{toml}public_key = '{key}'\n")
    (tmp_path / "credentials").mkdir()
    assert "ok signing" in check(tmp_path, capsys)[1][-1]
    (tmp_path / "city.toml").write_text(f"{toml}public_key = '{key}'\n".replace("office.key", "new.key"))
    told = check(tmp_path, capsys)[1][-1]
    assert f"warn signing: the office's unit hands over {tmp_path}/office.key alone: move the key there" in told


def test_each_part_has_a_line_and_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    (tmp_path / "city.toml").write_text(f"[mqtt]\nport = {port}\n[page]\nport = {free_port()}\n")
    code, told = check(tmp_path, capsys)
    assert code == 1
    assert "city.sqlite3: there is none yet; the first start makes it." in told[0]
    assert f"FAIL broker: 127.0.0.1:{port}: connection refused" in told[1]
    assert "is free." in told[2]
    assert [path.name for path in tmp_path.iterdir()] == ["city.toml"]


def test_the_room_is_that_of_the_disk_on_which_the_database_will_lie(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{small_disk / 'not made yet' / 'city.sqlite3'}"
    (tmp_path / "city.toml").write_text(f'[mqtt]\nport = {free_port()}\n[database]\nurl = "{url}"\n')
    assert "warn room: 0 MB are free where the database is" in " ".join(check(tmp_path, capsys)[1])


@needs_openssl
@pytest.mark.parametrize("place", [".", "credentials"])
def test_the_certificate_of_each_process_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr("edge_app.city.findings.hidden", lambda _: False)  # the unit sees nothing of /tmp
    authority = Authority(tmp_path)
    worker, key = authority.sign("city", days=400)
    office, office_key = authority.sign("office", days=3)
    mqtt = f'[mqtt]\nport = {free_port()}\ntls = true\ncert_file = "{worker}"\nkey_file = "{key}"\n'
    (tmp_path / "city.toml").write_text(f"{mqtt}[page]\nport = {free_port()}\n")
    assert "ok certificates: none ends within 30 days" in " ".join(check(tmp_path, capsys)[1])
    login = tmp_path / place / "login-office.pem"
    login.parent.mkdir(exist_ok=True)
    login.write_bytes(office.read_bytes() + office_key.read_bytes())
    assert f"warn certificates: certificate {login} ends on" in " ".join(check(tmp_path, capsys)[1])


def test_a_file_that_the_user_of_the_service_cannot_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text(ssl.DER_cert_to_PEM_cert(ssl.create_default_context().get_ca_certs(binary_form=True)[0]))
    authority.chmod(0o600)
    mqtt = f'[mqtt]\nport = {free_port()}\ntls = true\nca_file = "{authority}"\n'
    (tmp_path / "city.toml").write_text(f"{mqtt}[page]\nport = {free_port()}\n")
    assert "FAIL certificates" not in " ".join(check(tmp_path, capsys)[1])  # whoever starts it by hand can read it
    (tmp_path / "credentials").mkdir()
    told = " ".join(check(tmp_path, capsys)[1])
    assert f"FAIL certificates: {authority}: the user of the service cannot read it; copy it to {tmp_path}" in told


@needs_nats
@pytest.mark.servers
def test_the_brokers_own_protocol_is_tried_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with nats_server(tmp_path / "nats") as server:
        for port, code, told in (
            (server.queue_port, 0, f"ok queue: 127.0.0.1:{server.queue_port} accepts us with NATS."),
            (wrong := free_port(), 1, f"FAIL queue: 127.0.0.1:{wrong}: connection refused"),
        ):
            (tmp_path / "city.toml").write_text(
                f'[mqtt]\nport = {server.port}\n[broker]\nkind = "nats"\nport = {port}\n[page]\nport = {free_port()}\n'
            )
            found = check(tmp_path, capsys)
            assert found[0] == code
            assert told in "\n".join(found[1])
            assert f"ok broker: 127.0.0.1:{server.port} accepts us with MQTT 3.1.1." in "\n".join(found[1])


@pytest.mark.parametrize(
    ("file", "is_hidden"),
    [("/etc/hostname", False), ("/etc/shadow", True), ("/run/user/ca.pem", True), ("/home/a", True)],
)
def test_what_the_user_of_the_service_can_read(file: str, is_hidden: bool) -> None:
    assert hidden(Path(file)) is is_hidden


def test_the_state_of_a_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'city.sqlite3'}"
    database = open_database(url)
    assert state_of(url)[1]
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer release"):
        state_of(url)
    with database.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    assert "nothing is in it yet" in state_of(url)[0]
    database.close()
    (tmp_path / "city.toml").write_text(f'[mqtt]\nport = {free_port()}\n[page]\nport = 0\n[database]\nurl = "{url}"\n')
    (tmp_path / "city.sqlite3").write_bytes(b"no database" * 100)
    for wal in tmp_path.glob("*-wal"):
        wal.unlink()
    code, told = check(tmp_path, capsys)
    assert code == 1
    assert told[0].startswith("FAIL database: ")


@pytest.mark.servers
def test_the_state_of_a_server(request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_server").emptied()
    assert "nothing is in it yet" in state_of(url)[0]
    open_database(url).close()
    sentence, ready = state_of(url)
    assert ready
    assert "PostgreSQL" in sentence
    assert "127.0.0.1" in sentence


@pytest.fixture
def binding(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that takes the user's name for the client id, and city.toml beside it."""
    passwords = password_file(tmp_path, "city", "pw")
    subprocess.run(("mosquitto_passwd", "-b", str(passwords), "device", "pw"), check=True, capture_output=True)
    settings = ("allow_anonymous false", f"password_file {passwords}", "use_username_as_clientid true")
    with mosquitto(tmp_path, *settings) as broker:
        text = f'[mqtt]\nport = {broker.port}\nusername = "city"\npassword = "pw"\n[page]\nport = {free_port()}\n'
        (tmp_path / "city.toml").write_text(text)
        yield broker


@contextmanager
def worker_inbox(config: CityConfig) -> Iterator[Inbox]:
    """Yield the inbox of the worker, which has subscribed."""
    inbox = open_inbox(config)
    try:
        eventually(lambda: not inbox.read(10, 0.05) and not inbox.problem)
        inbox.read(10, 0.3)
        yield inbox
    finally:
        inbox.close()


def send(port: int, many: int) -> None:
    """Publish as a device, and wait until the broker has them."""
    with closing(Session(Endpoint(HOST, port, username="device", password="pw"), "device", timing=SHORT)) as device:
        run_until(device, Connected)
        for number in range(many):
            device.publish(Message(f"traffic/v1/harbour/pole-7/counts/quay-{number}", b"{}", qos=1))
        run_until(device, Acked, many)


@needs_mosquitto
@pytest.mark.parametrize("protocol", ["auto", "3.1.1"])
def test_a_check_drops_nothing_of_what_waits_for_the_worker(
    tmp_path: Path, binding: Mosquitto, capsys: pytest.CaptureFixture[str], protocol: str
) -> None:
    file = tmp_path / "city.toml"
    file.write_text(file.read_text().replace("[mqtt]\n", f'[mqtt]\nprotocol = "{protocol}"\n'))
    config = load(file, {})
    with worker_inbox(config):
        pass
    send(binding.port, 5)
    assert "accepts us with MQTT" in " ".join(check(tmp_path, capsys)[1])
    assert "accepts us with MQTT" in " ".join(check(tmp_path, capsys)[1])
    got: set[str] = set()

    def all_came(inbox: Inbox) -> bool:
        got.update(message.topic for message in inbox.read(10, 0.1))
        return len(got) == 5

    with closing(open_inbox(config)) as inbox:
        eventually(lambda: all_came(inbox))


@needs_mosquitto
def test_a_check_asks_the_running_service_and_leaves_its_connection_alone(
    tmp_path: Path, binding: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load(tmp_path / "city.toml", {})
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    problem = ""
    try:
        with (
            worker_inbox(config) as inbox,
            Server(build_api(City(database, Live(), broker=lambda: problem)), HOST, config.page.port),
        ):
            told = " ".join(check(tmp_path, capsys)[1])
            assert "ok broker: the running service is connected to its broker" in told
            assert "ok page: the running service answers" in told
            inbox.read(10, 0.2)
            assert not inbox.problem
            send(binding.port, 1)
            eventually(lambda: inbox.read(1, 0.1))
            problem = "broker away"
            assert "FAIL broker: the running service has no connection" in " ".join(check(tmp_path, capsys)[1])
    finally:
        database.close()
