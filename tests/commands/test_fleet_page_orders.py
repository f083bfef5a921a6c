"""Orders of the city's page, carried out by the office's process on a running device over a real broker."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge_app.city.api import build_api
from edge_app.city.database.engine import open_database
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.mqtt.embedded_broker import HOST
from edge_app.system.signatures import make_key
from tests.support.brokers import eventually, mosquitto, needs_mosquitto
from tests.support.city_api import client_of
from tests.support.city_worker import start
from tests.support.program import Program

pytestmark = [needs_mosquitto, pytest.mark.servers, pytest.mark.long, pytest.mark.timeout(400)]
DEVICE = "delft/cam-1"
_WAIT_S = 120.0


class _Broker:
    """The broker as a worker is told of it."""

    kind = "mqtt"

    def __init__(self, port: int) -> None:
        self.ports = self.queue_ports = (port,)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a city's page, beside a worker, the office's process and a device that counts a rendered street."""
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path / "broker"))
        program = stack.enter_context(closing(Program(tmp_path / "device", trial_s=2.0, synced=True)))
        key = make_key(tmp_path / "office.key").public_key
        mqtt = f'[mqtt]\nhost = "{HOST}"\nport = {broker.port}\n'
        (tmp_path / "city.toml").write_text(f'{mqtt}[signing]\nkey_file = "office.key"\n')
        url = f"sqlite:///{tmp_path / 'city.sqlite3'}"
        database = open_database(url)
        stack.callback(database.close)
        program.start(
            f'[device]\nsite = "delft"\ndevice = "cam-1"\n{mqtt}[source]\nkind = "street"\n'
            f'[counting]\ninterval_s = 60\n[office]\nkeys = ["{key}"]\npictures = true\n'
        )
        serve = [sys.executable, "-m", "edge_app", "fleet", "serve", "--config", str(tmp_path / "city.toml")]
        for process in (start(_Broker(broker.port), url), subprocess.Popen(serve)):
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        yield stack.enter_context(client_of(build_api(City(database, Live()))))


def device(http: httpx.Client) -> dict[str, Any]:
    answer = http.get(f"/api/v1/devices/{DEVICE}")
    return dict(answer.json()) if answer.is_success else {}


def done(http: httpx.Client, **wish: Any) -> dict[str, Any]:
    """Place an order and return it when the device has answered."""
    placed = http.post("/api/v1/orders", json={"device": DEVICE, **wish})
    assert placed.is_success, placed.text
    number, end = placed.json()["id"], time.monotonic() + _WAIT_S
    while True:
        found = next(one for one in http.get("/api/v1/orders").json()["orders"] if one["id"] == number)
        if found["state"] not in ("waiting", "sent"):
            return dict(found)
        assert time.monotonic() < end, found
        time.sleep(0.2)


def test_a_picture_comes_and_a_line_that_is_drawn_on_it_counts(page: httpx.Client) -> None:
    eventually(lambda: page.get("/api/v1/office").json()["running"], _WAIT_S)
    eventually(lambda: bool(device(page).get("lines")), _WAIT_S)
    assert device(page)["device"]["model_name"]
    picture = done(page, kind="snapshot", width=320)
    assert (picture["state"], picture["file"]) == ("answered", True), picture
    file = page.get(f"/api/v1/orders/{picture['id']}/file")
    assert file.headers["content-type"] == "image/jpeg"
    refused = done(page, kind="config", values={"counting.interval_s": 7})
    assert (refused["state"], "counting.interval_s" in refused["answer"]) == ("refused", True), refused
    (line,) = device(page)["lines"]
    kept = {key: value for key, value in line.items() if value is not None}
    moved = {**kept, "start": [0.05, 0.55]}
    drawn = done(page, kind="config", values={"lines": [moved]}, comparable=[line["id"]])
    assert drawn["state"] == "answered", drawn
    eventually(lambda: device(page)["lines"][0]["start"] == [0.05, 0.55], _WAIT_S)
    assert device(page)["lines"][0]["left_to_right"] == line["left_to_right"]
    told = page.get(f"/api/v1/devices/{DEVICE}/office").json()
    assert told["state"] in ("trying", "applied")  # it counts with the line already, and is watched for two minutes
    assert told["desired"]["set"]["lines"][0]["id"] == line["id"]
