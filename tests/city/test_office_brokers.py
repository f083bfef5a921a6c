"""The office sees its devices at each broker, also at one that delivers what it retains for exact topics alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_app.city.config import load
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.fleet import note_heard
from edge_app.city.database.orders import Holder, take_over
from edge_app.city.link import FleetLink
from edge_app.city.office_process import OfficeProcess
from edge_app.cli import main
from edge_app.commands._office_serving import refused_keys, session_of
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT
from edge_app.system.signatures import make_key
from tests.city.test_brokers import NEEDED
from tests.support.brokers import eventually, run_until, session
from tests.support.city_brokers import Broker, running
from tests.support.office import SigningOffice

pytestmark = pytest.mark.servers
NAMES = [f"harbour/pole-{number}" for number in range(120)]
"""More than go into one subscription."""
KINDS = ("status", "meta", "config/reported")


@pytest.fixture(scope="module", params=NEEDED)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Yield a broker that retains what devices have told, and what the office sets on the first."""
    kind = str(request.param)
    if not shutil.which(NEEDED[kind]):
        pytest.skip(f"needs {NEEDED[kind]}")
    folder = tmp_path_factory.mktemp(kind)
    with running(kind, folder) as server:
        told = {f"{name}/{part}": json.dumps(EXAMPLES[part.replace("/", "_")]) for name in NAMES for part in KINDS}
        told[f"{NAMES[0]}/config/desired"] = SigningOffice(folder).configuration(
            9, {"counting": {"interval_s": 300}}, prefix=f"{ROOT}/{NAMES[0]}"
        )
        with closing(session(server.port)) as devices:
            run_until(devices, Connected)
            for topic, text in told.items():
                devices.publish(Message(f"{ROOT}/{topic}", text.encode(), qos=1, retained=True))
            run_until(devices, Acked, len(told), 60.0)
        yield server


@pytest.fixture
def city(broker: Broker, tmp_path: Path) -> Path:
    """Return the file of a city's configuration whose database has heard the devices."""
    file = tmp_path / "city.toml"
    file.write_text(f'[mqtt]\nhost = "{HOST}"\nport = {broker.port}\n\n[broker]\nkind = "{broker.kind}"\n')
    with closing(opened(file)) as database, database.begin() as connection:
        note_heard(connection, [(site, device) for site, _, device in (name.partition("/") for name in NAMES)], 1)
    return file


def opened(file: Path) -> Database:
    return open_database(f"sqlite:///{file.parent / 'city.sqlite3'}")


def test_a_person_sees_all_devices_and_what_is_set(city: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "list", "--config", str(city)]) == 0
    listed = capsys.readouterr().out
    assert listed.count("online") == len(NAMES)
    assert main(["fleet", "config", "harbour/pole-*", "--most", "120", "--config", str(city)]) == 0
    assert "interval_s = 300" in capsys.readouterr().out


def test_a_whole_name_needs_no_database(city: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (city.parent / "city.sqlite3").unlink()
    assert main(["fleet", "config", NAMES[0], "--config", str(city)]) == 0
    assert "interval_s = 300" in capsys.readouterr().out
    assert main(["fleet", "config", "harbour/pole-120", "--config", str(city)]) == 2
    assert "the broker knows no such device" in capsys.readouterr().err


def test_the_office_knows_all_devices_on_every_connection(city: Path) -> None:
    config, key = load(city, process="office"), make_key(city.parent / "office.key")
    link_session = session_of(config, "office", 1.0)
    link = FleetLink(link_session, ROOT, lambda _topic, _payload: True)
    with closing(opened(city)) as database, closing(link):
        with database.begin() as connection:
            assert take_over(connection, Holder(), "test", 1.0)
        process = OfficeProcess(
            database, link, key, "test", refused_keys, by_names=config.broker.by_names, utc=lambda: 1.0
        )

        def ready() -> bool:
            process.turn()
            return link.ready

        for _ in range(2):
            eventually(ready, 60.0)
            assert sorted(link.devices) == sorted(NAMES)
            assert {link.devices[name].reported.revision for name in NAMES} == {EXAMPLES["config_reported"]["revision"]}
            assert link.devices[NAMES[0]].revision == 9
            link_session.close()
            assert not link.ready
