"""`edge-app fleet` against a running device and a real broker: what people read, and what became of it."""

from __future__ import annotations

import hashlib
import json
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from edge_app.city.config import load as load_city
from edge_app.city.desired import Layer
from edge_app.city.releasing import release_args
from edge_app.city.signer import Signer
from edge_app.cli import main
from edge_app.commands._fleet_config import change_of
from edge_app.commands._office_serving import signing_key
from edge_app.detectors.manifest import load
from edge_app.errors import ConfigError
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.identity import ROOT as TOPICS
from edge_app.system.key_names import key_name
from edge_app.system.signatures import make_key
from tests.support.brokers import eventually, mosquitto, needs_mosquitto, run_until, session
from tests.support.bundle_server import Behaviour, bundle_server
from tests.support.field_devices import FieldDevice, Time
from tests.support.paths import ROOT
from tests.support.program import Program

SMALL = ROOT / "models" / "artefacts" / "ssdlite_mobilenet_v2_300x300.tflite"
DEVICE = "delft/cam-1"


@dataclass
class City:
    """A city of one device. folder: of its configuration. program: the device."""

    folder: Path
    program: Program
    capsys: pytest.CaptureFixture[str]

    def fleet(self, *arguments: str, code: int = 0) -> str:
        """Run the command, and return what it printed."""
        self.capsys.readouterr()
        config = () if arguments[0] in ("key", "bundle") else ("--config", str(self.folder / "city.toml"))
        found = main(["fleet", *arguments, *config])
        told = self.capsys.readouterr()
        assert found == code, told
        return told.out + told.err


def test_a_key_is_made_once_and_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    city = City(tmp_path, None, capsys)  # type: ignore[arg-type]
    made = city.fleet("key", str(tmp_path / "office.key"))
    assert "made" in made
    shown = city.fleet("key", str(tmp_path / "office.key"))
    assert shown in made
    assert "[office]\nkeys = [" in shown


def test_what_cannot_be_is_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    city = City(tmp_path, None, capsys)  # type: ignore[arg-type]
    (tmp_path / "city.toml").write_text(f'[mqtt]\nhost = "{HOST}"\nport = 1\n')
    assert "office.key" in city.fleet("key", str(tmp_path / "away" / "office.key"), code=2)
    assert "broker" in city.fleet("list", code=1)
    (tmp_path / "no.tflite").write_text("")
    assert "manifest" in city.fleet("bundle", str(tmp_path / "no.tflite"), code=2)
    archive = tmp_path / "edge-app-0.2.0-x86_64.tar.xz"
    for url, told in (("http://a", "must begin with https://"), ("https://a", "SHA256SUMS is missing: `make archive")):
        with pytest.raises(ConfigError, match=told):
            release_args(archive, url)
    archive.write_bytes(b"archive")
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  {archive.name}\n")
    (tmp_path / "SHA256SUMS.sig").write_bytes(bytes(64))
    with pytest.raises(ConfigError, match="has no archive for devices with its hash"):
        release_args(archive, "https://a")
    sign_release(archive)
    assert release_args(archive, "https://a")["bytes"] == 7
    (tmp_path / "SHA256SUMS.sig").write_bytes(bytes(63))
    with pytest.raises(ConfigError, match="RELEASE_KEY must be an Ed25519 key"):
        release_args(archive, "https://a")


@pytest.mark.parametrize("value", ["2026-12-01", "nan", "[1, inf]", "9223372036854775808"])
def test_what_no_message_can_hold_is_no_value(value: str) -> None:
    given = Namespace(set=[f"log.level={value}"], default=[], leave=[], file=None, clear=False, sign=False)
    make = change_of(given)
    assert make is not None
    with pytest.raises(ConfigError, match="a value is text, true, false, a number or"):
        make(Layer())


def sign_release(archive: Path) -> None:
    """Write SHA256SUMS beside an archive, and a signature that no device looks at here."""
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_name("SHA256SUMS").write_text(f"{sha256}  {archive.name}\n")
    archive.with_name("SHA256SUMS.sig").write_bytes(bytes(64))


@pytest.fixture
def city(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[City]:
    """Yield a city whose device counts, and trusts its office."""
    with (
        mosquitto(tmp_path / "broker") as broker,
        closing(Program(tmp_path / "device", trial_s=2.0, synced=True)) as program,
    ):
        city = City(tmp_path, program, capsys)
        mqtt = f'[mqtt]\nhost = "{HOST}"\nport = {broker.port}\n'
        (tmp_path / "city.toml").write_text(f'{mqtt}[signing]\nkey_file = "office.key"\n')
        office = city.fleet("key", str(tmp_path / "office.key"))
        keys = next(line for line in office.splitlines() if line.startswith("keys"))
        program.start(
            f'[device]\nsite = "delft"\ndevice = "cam-1"\n{mqtt}[source]\nkind = "street"\n'
            "[counting]\ninterval_s = 60\n"
            f'[office]\n{keys}\npictures = true\nca_file = "{tmp_path / "server.crt"}"\n'
        )
        eventually(lambda: "first frame" in program.text, 30)
        yield city


pytestmark = [needs_mosquitto, pytest.mark.timeout(240)]


@pytest.mark.long
def test_what_a_former_key_has_signed_is_signed_anew_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    city, clock = City(tmp_path, None, capsys), Time(1_796_083_200.0)  # type: ignore[arg-type]
    old, new = (make_key(tmp_path / f"{name}.key").public_key for name in ("old", "new"))
    with mosquitto(tmp_path / "broker") as broker, ExitStack() as stack:
        for name in ("cam-1", "cam-2"):
            device = FieldDevice(tmp_path / name, f"delft/{name}", broker.port, old, tmp_path / "none", clock)
            device.setting.write({key_name(one): one for one in (old, new)})
            device.start()
            stack.callback(device.stop)
        eventually(lambda: "cam-2" in fleet_at(city, broker.port, "old", "list"), 60)
        assert "revision 1 is" in fleet_at(city, broker.port, "old", "config", DEVICE, "--set", "log.level=debug")
        signed = fleet_at(city, broker.port, "new", "config", "delft/*", "--sign", former=old)
        assert "delft/cam-1: revision 2 is" in signed
        assert 'level = "debug"' in fleet_at(city, broker.port, "new", "config", DEVICE)
        assert "delft/cam-2: the office sets nothing there" in signed
        assert "revision 3 is" in fleet_at(city, broker.port, "new", "config", DEVICE, "--clear")
        emptied = fleet_at(city, broker.port, "old", "config", DEVICE, "--sign", former=new)
        assert "delft/cam-1: revision 4 is" in emptied, "a layer without keys is one, and refused when its key goes"
        assert "revision 5 is" in fleet_at(city, broker.port, "new", "config", DEVICE, "--sign", former=old)
        assert "nothing to change" in fleet_at(city, broker.port, "new", "config", DEVICE, "--sign")
        assert "changes nothing, so" in city.fleet("config", DEVICE, "--sign", "--clear", code=2)


@pytest.mark.long
def test_a_device_with_a_new_card_uses_all_that_the_office_sets_once_it_has_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The layer is refused as a whole while its detector is missing: then it is used by itself, and never by half."""
    city = City(tmp_path, None, capsys)  # type: ignore[arg-type]
    key, sha256 = make_key(tmp_path / "office.key").public_key, load(SMALL)[0].sha256
    assert "has passed the gate" in city.fleet("bundle", str(SMALL), "--out", str(tmp_path))
    bundle = next(tmp_path.glob("*.zip"))
    with mosquitto(tmp_path / "broker") as broker, ExitStack() as stack:
        url, ca_file = stack.enter_context(bundle_server(tmp_path, Behaviour(bundle.read_bytes())))

        def device(card: str) -> FieldDevice:
            made = FieldDevice(tmp_path / card, DEVICE, broker.port, key, ca_file, time.time)
            made.start()
            stack.callback(made.stop)
            return made

        def fleet(*arguments: str, code: int = 0) -> str:
            signing = '[signing]\nkey_file = "office.key"\n'
            (tmp_path / "city.toml").write_text(f'[mqtt]\nhost = "{HOST}"\nport = {broker.port}\n{signing}')
            return city.fleet(*arguments, code=code)

        fetch = ("fetch", DEVICE, "--bundle", str(bundle), "--url", url)
        change = ("config", DEVICE, "--no-wait", "--set", f"detector.fetched={sha256}", "--set", "log.level=debug")
        first = device("first")
        eventually(lambda: "online" in fleet("list"), 60)
        assert "ssdlite" in fleet(*fetch)
        assert "revision 1 is trying" in fleet(*change)
        first.stop()

        second = device("second")
        eventually(lambda: "0 refused" in fleet("list"), 60)
        for again in (("config", DEVICE, "--sign"), change):
            refused = fleet(*again, code=1)
            assert "have it fetched first (`edge-app fleet fetch`)" in refused, "not: nothing to change"
        assert second.setting.in_use.revision == 0
        assert "ssdlite" in fleet(*fetch)
        eventually(lambda: "1 trying" in fleet("list"), 60)
        assert second.setting.model == sha256


def fleet_at(city: City, port: int, key: str, *arguments: str, former: str = "") -> str:
    """Run the command with a key of the city's folder, without waiting for the end of a trial."""
    signing = f'[signing]\nkey_file = "{key}.key"\n' + (f'former = ["{former}"]\n' if former else "")
    (city.folder / "city.toml").write_text(f'[mqtt]\nhost = "{HOST}"\nport = {port}\n{signing}')
    more = ("--no-wait", "--most", "2") if len(arguments) > 2 else ()
    return city.fleet(*arguments, *more)


def retain(city: City, layer: Layer) -> None:
    """Have the broker retain a layer that the office has signed, as revision 50."""
    config = load_city(city.folder / "city.toml")
    payload = Signer(signing_key(config), TOPICS, time.time).layer(DEVICE, layer, 50, "anna")
    with closing(session(config.mqtt.port)) as office:
        run_until(office, Connected)
        office.publish(Message(f"{TOPICS}/{DEVICE}/config/desired", payload.encode(), qos=1, retained=True))
        run_until(office, Acked)


@pytest.mark.long
def test_a_device_is_configured_asked_and_given_another_detector(city: City, tmp_path: Path) -> None:
    assert f"{DEVICE}" in city.fleet("list")
    assert "revision 1 is applied" in city.fleet("config", DEVICE, "--set", "counting.interval_s=30")
    assert "interval_s = 30" in city.fleet("config", DEVICE)
    assert "nothing to change" in city.fleet("config", DEVICE, "--set", "counting.interval_s=30")
    refused = city.fleet("config", DEVICE, "--set", "counting.interval_s=1", code=1)
    assert "refused: counting.interval_s: must be at least 10" in refused
    for option in ("--default", "--leave"):
        assert "view.drfit: is no key that the office sets" in city.fleet(
            "config", DEVICE, option, "view.drfit", code=2
        )
        assert "log: is no key that the office sets" in city.fleet("config", DEVICE, option, "log", code=2)
    assert "may not set mqtt.host" in city.fleet("config", DEVICE, "--set", "mqtt.host=x", code=2)
    assert "no such device" in city.fleet("config", "delft/cam-2", "--clear", code=2)

    out = str(tmp_path / "out")
    packed = city.fleet("bundle", str(SMALL), "--out", out)
    bundle = next((tmp_path / "out").glob("*.zip"))
    assert "has passed the gate" in packed
    sha256 = load(SMALL)[0].sha256
    unknown = city.fleet("config", DEVICE, "--set", f"detector.fetched={sha256}", code=1)
    assert "is on this device: have it fetched first" in unknown
    retain(city, Layer({"counting": {"interval_s": 20}, "detector": {"fetched": sha256}}))
    eventually(lambda: "1 refused" in city.fleet("list"), 30)
    with bundle_server(tmp_path, Behaviour(bundle.read_bytes())) as (url, _):
        fetched = city.fleet("fetch", DEVICE, "--bundle", str(bundle), "--url", url)
    assert "ssdlite_mobilenet_v2_300x300" in fetched
    eventually(lambda: "50 applied" in city.fleet("list"), 60)  # all of it, by itself
    assert "is applied" in city.fleet("config", DEVICE, "--leave", "detector.fetched")
    assert "is applied" in city.fleet("config", DEVICE, "--set", f"detector.fetched={sha256}")
    assert sha256[:12] in city.fleet("list")

    assert "bytes" in city.fleet("diagnose", DEVICE, "--out", out)
    case = ZipFile(BytesIO(next((tmp_path / "out").glob("delft.cam-1-*.zip")).read_bytes()))
    assert json.loads(case.read("model.json"))["sha256"] == sha256
    assert "bytes" in city.fleet("snapshot", DEVICE, "--width", "320", "--out", out)
    assert next((tmp_path / "out").glob("*.jpg")).read_bytes()[:2] == b"\xff\xd8"
    assert "until" in city.fleet("harvest", "on", DEVICE, "--hours", "1")
    archive = tmp_path / "out/edge-app-0.2.0-x86_64.tar.xz"
    archive.write_bytes(b"archive")
    sign_release(archive)
    for order in (("release", str(archive), "--to", DEVICE, "--url", "https://localhost:1/a"), ("rollback", DEVICE)):
        assert "takes releases where the installer has put the program" in city.fleet(*order, code=2)
    assert "revision" in city.fleet("config", DEVICE, "--clear")
    eventually(lambda: sha256[:12] not in city.fleet("list"), 30)
