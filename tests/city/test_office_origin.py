"""What the page shows as the office's is judged by its public key: others may have written it at the broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from edge_app.city.api import build_api
from edge_app.city.config import CityConfig, SigningConfig
from edge_app.city.database.engine import Database
from edge_app.city.database.tables import DEVICE
from edge_app.city.ingest import Worker
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.commands._office_serving import known_genuine, signing_key
from edge_app.errors import ConfigError
from edge_app.mqtt.events import Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT
from tests.city.test_poison import Given
from tests.support.city_api import client_of
from tests.support.office import SigningOffice

NAME = "delft/cam-1"
SET = {"counting": {"interval_s": 300}}


@pytest.fixture
def office(tmp_path: Path) -> SigningOffice:
    return SigningOffice(tmp_path)


def told(database: Database, desired: str, highest: int, *keys: str) -> dict[str, Any]:
    """Return what the API tells of a layer that a worker has read. keys: of the city, the present one first."""
    report = {**EXAMPLES["config_reported"], "site": "delft", "device": "cam-1", "highest": highest}
    kinds = {"config/desired": desired, "config/reported": json.dumps(report)}
    batch = [Message(f"{ROOT}/{NAME}/{kind}", text.encode(), 1, retained=True) for kind, text in kinds.items()]
    Worker(Given(batch), database, ROOT).turn()
    signing = SigningConfig(public_key=keys[0], former=keys[1:]) if keys else SigningConfig()
    city = City(database, Live(), is_genuine=known_genuine(CityConfig(signing=signing)))
    with client_of(build_api(city)) as http:
        found: dict[str, Any] = http.get(f"/api/v1/devices/{NAME}/office").json()
    return found


@pytest.mark.long
def test_what_the_office_has_signed_is_told_so_and_what_somebody_else_has_is_not(
    database: Database, office: SigningOffice, tmp_path: Path
) -> None:
    mine, forger = office.configuration(12, SET), SigningOffice(tmp_path, "forger.pem")
    found = told(database, mine, 12, office.key)
    assert (found["origin"], found["desired"]["set"], "message" in found["desired"]) == ("signed", SET, False)
    assert told(database, forger.configuration(13, SET), 12, office.key)["origin"] == "foreign"
    assert told(database, office.configuration(13, SET, prefix="traffic/v1/delft/cam-2"), 12, office.key)["origin"] == (
        "foreign"
    ), "a message for a neighbour"
    unsigned = json.dumps(json.loads(mine) | {"signature": "A" * 86})
    assert told(database, unsigned, 12, office.key)["origin"] == "foreign"
    assert told(database, mine, 14, office.key)["origin"] == "older", "whoever has kept it can put it there again"
    assert told(database, mine, 12, forger.key, office.key)["origin"] == "signed", "while keys change"


def test_without_a_key_or_the_message_nobody_has_checked_it(database: Database, office: SigningOffice) -> None:
    mine = office.configuration(12, SET)
    assert told(database, mine, 12)["origin"] == "unchecked"
    assert told(database, mine, 12, office.key)["origin"] == "signed", "no worker has to hear it again"
    with database.begin() as connection:
        (kept,) = connection.execute(DEVICE.select()).all()
        without = {name: value for name, value in kept.desired.items() if name != "message"}
        connection.execute(update(DEVICE).values(desired=without))
        city = City(database, Live(), is_genuine=lambda _topic, _payload: True)
    with client_of(build_api(city)) as http:
        assert http.get(f"/api/v1/devices/{NAME}/office").json()["origin"] == "unchecked", "of a worker of before"
    with database.begin() as connection:
        connection.execute(update(DEVICE).values(desired=None))
    with client_of(build_api(city)) as http:
        assert http.get(f"/api/v1/devices/{NAME}/office").json()["origin"] is None


def test_a_public_key_that_is_not_that_of_the_private_one_is_told(tmp_path: Path) -> None:
    office, other = SigningOffice(tmp_path), SigningOffice(tmp_path, "other.pem")
    file = tmp_path / "office.pem"
    assert signing_key(CityConfig(signing=SigningConfig(key_file=file, public_key=office.key))).public_key == office.key
    with pytest.raises(ConfigError, match=r"signing\.public_key is not that of .*: a key of before belongs into"):
        signing_key(CityConfig(signing=SigningConfig(key_file=file, public_key=other.key)))
