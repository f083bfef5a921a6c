"""What a change begins with: the newest of what the office has signed, whatever a broker gives back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_app.city.desired import Layer, Reported, State, genuine
from edge_app.city.office import KnownDevice, known_devices
from edge_app.errors import ConfigError
from edge_app.mqtt.events import Message
from edge_app.system.key_names import key_name
from edge_app.system.signatures import verify
from tests.support.office import SigningOffice

ROOT = "traffic/v1"
NAME = "delft/cam-1"
SET = {"counting": {"interval_s": 300}}


@pytest.fixture
def office(tmp_path: Path) -> SigningOffice:
    return SigningOffice(tmp_path)


def report(revision: int, highest: int, at: str = "2026-12-01T10:00:00Z") -> str:
    layers = [{"name": "file", "revision": "1", "author": "root", "at": "2026-11-01T08:00:00Z"}]
    layers += [{"name": "office", "revision": str(revision), "author": "anna", "at": at}] if revision else []
    told = {"schema": "edge-app/config-reported/1", "state": "applied", "revision": revision, "highest": highest}
    return json.dumps(told | {"layers": layers})


def device(office: SigningOffice, desired: str, reported: str, *former: str) -> KnownDevice:
    """Return what the office knows of a device when its broker gives it these. former: keys that signed before."""
    told = {"status": '{"state": "online"}', "config/desired": desired, "config/reported": reported}
    messages = [Message(f"{ROOT}/{NAME}/{kind}", text.encode(), qos=1, retained=True) for kind, text in told.items()]
    is_genuine = genuine({key_name(key): key for key in (office.key, *former)}, verify)
    (found,) = known_devices(messages, ROOT, is_genuine)
    return found


def test_what_the_office_has_signed_last_is_the_base(office: SigningOffice) -> None:
    known = device(office, office.configuration(12, SET), report(12, 12))
    assert (known.base(), known.next_revision) == (Layer(SET), 13)
    newer = device(office, office.configuration(13, SET), report(12, 12))
    assert (newer.base(), newer.next_revision) == (Layer(SET), 14), "the device was away"
    assert device(office, office.configuration(12, SET), report(11, 12)).base() == Layer(SET), "it was taken back"
    assert device(office, office.configuration(12, SET), report(0, 0)).base() == Layer(SET), "a new state folder"
    assert device(office, "", report(0, 0)).base() == Layer()


def test_what_somebody_else_has_put_there_is_never_signed(office: SigningOffice, tmp_path: Path) -> None:
    forger = SigningOffice(tmp_path, "forger.pem")
    masks: dict[str, Any] = {"privacy": {"masks": []}}
    signed_by_another = forger.configuration(2**53 - 1, masks)
    for_a_neighbour = office.configuration(13, masks, prefix="traffic/v1/delft/cam-2")
    changed = office.configuration(13, masks).replace("masks", "Masks")
    unsigned = json.dumps(json.loads(office.configuration(13, masks)) | {"signature": "A" * 86})
    for forged in (signed_by_another, for_a_neighbour, changed, unsigned, "no JSON", "{}"):
        known = device(office, forged, report(12, 12))
        with pytest.raises(ConfigError, match="not signed by this office's key"):
            known.base()
        assert known.next_revision == 13, "a number that nobody signed uses none up"


def test_a_layer_of_a_key_of_before_is_a_base_while_keys_change(office: SigningOffice, tmp_path: Path) -> None:
    before = SigningOffice(tmp_path, "before.pem")
    assert device(office, before.configuration(12, SET), report(12, 12), before.key).base() == Layer(SET)


@pytest.mark.parametrize(
    ("revision", "reported", "told"),
    [
        (None, report(12, 12), "the broker has lost revision 12 of the office"),
        (9, report(12, 12), "the broker has revision 9 of the office, and the device has accepted 12"),
        (12, report(12, 12, at="2026-12-01T10:00:01.500Z"), "the broker has another revision 12 of the office"),
    ],
    ids=["forgotten", "of before", "another of the same number"],
)
def test_what_a_broker_has_lost_or_brings_again_is_no_base(
    office: SigningOffice, revision: int | None, reported: str, told: str
) -> None:
    desired = "" if revision is None else office.configuration(revision, SET)
    with pytest.raises(ConfigError, match=told):
        device(office, desired, reported).base()


def test_a_new_message_takes_the_place_of_a_forged_one(office: SigningOffice) -> None:
    known = device(office, "{}", report(12, 12))
    known.take("config/desired", office.configuration(13, SET).encode())
    assert known.base() == Layer(SET)


def test_a_device_that_went_back_from_what_is_retained_says_so() -> None:
    device = KnownDevice("harbour/pole-7", revision=12, reported=Reported("rolled_back", 11, 12, ("no frames",)))
    assert device.went_back == "it went back from revision 12 (no frames)"
    others: list[tuple[int, State]] = [(13, "rolled_back"), (12, "applied")]
    for revision, state in others:
        assert not replace(device, revision=revision, reported=Reported(state, 11, 12)).went_back
