"""Signed commands: in which order they are checked, and what nobody can do without a key."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.mqtt.commands import (
    NAMES,
    SIGNED,
    Command,
    FetchArgs,
    Ignored,
    Refused,
    Trust,
    fetch_args,
    harvest_args,
    read_command,
    snapshot_args,
    untimely,
)
from edge_app.mqtt.events import Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.system.key_names import key_name
from edge_app.system.signatures import verify
from tests.support.paths import ROOT
from tests.support.publisher_cases import DEVICE, START
from tests.support.schemas import validate
from tests.support.signed_commands import CommandingOffice, unsigned

PREFIX = DEVICE.prefix
ON = {"enabled": True, "hours": 4}
BUNDLE: dict[str, Any] = {"url": "https://city.example/b.zip", "bytes": 2_278_946, "sha256": "ab" * 32}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> CommandingOffice:
    return CommandingOffice(tmp_path_factory.mktemp("keys"), PREFIX)


def outcome(office: CommandingOffice, message: Message) -> str:
    """Return what becomes of a message: "taken", a code, or "ignored"."""
    found = read_command(PREFIX, message, office.trust)
    return found.code if isinstance(found, Refused) else "taken" if isinstance(found, Command) else "ignored"


def arguments(name: str) -> dict[str, Any]:
    numbers: dict[str, Any] = {"line": "a", "installation": "0123abcd", "from_seq": 1, "to_seq": 2}
    sums = {"sums": f"{'ab' * 32}  edge-app-1.0-aarch64.tar.xz\n", "sums_signature": 85 * "A" + "A=="}
    release = BUNDLE | sums
    known: dict[str, dict[str, Any]] = {"harvest": ON, "resend": numbers, "fetch": BUNDLE, "release": release}
    return known.get(name, {})


@pytest.mark.parametrize("name", NAMES)
def test_each_command_is_taken_when_it_is_signed(office: CommandingOffice, name: str) -> None:
    message = office.sign(name, "city-1", arguments(name), now=START)
    validate("signed_commands", message.payload)
    validate("commands", unsigned(message).payload)
    found = read_command(PREFIX, message, office.trust)
    assert isinstance(found, Command)
    assert (found.id, found.name, found.key, found.at) == ("city-1", name, office.name, START)
    assert (found.expires, found.reply_to.topic) == (START + 600, f"{PREFIX}/replies/{name}")


@pytest.mark.parametrize("name", NAMES)
def test_without_a_signature_only_what_changes_nothing_is_taken(office: CommandingOffice, name: str) -> None:
    message = unsigned(office.sign(name, "city-1", arguments(name), now=START))
    assert outcome(office, message) == ("unauthorised" if name in SIGNED else "taken")
    found = read_command(PREFIX, message, office.trust)
    assert not isinstance(found, Ignored)
    assert found.key == ""


def test_faults_are_told_in_the_order_of_the_contract(office: CommandingOffice) -> None:
    """Each message has its fault and all later ones."""
    bad = office.sign("restart", "city-1", now=START, expires="never")
    assert outcome(office, unsigned(bad)) == "bad_request"
    unknown = office.sign("reboot", "city-1", now=START)
    assert outcome(office, unsigned(unknown)) == "unknown_command"
    assert outcome(office, unsigned(office.sign("restart", "city-1", now=START))) == "unauthorised"
    assert outcome(office, bad) == "bad_request"
    assert outcome(office, unknown) == "unknown_command"


def test_a_wrong_signature_comes_before_all_that_is_in_the_document(office: CommandingOffice, tmp_path: Path) -> None:
    other = CommandingOffice(tmp_path, PREFIX)
    for message in (
        other.sign("restart", "city-1", now=START),
        other.sign("reboot", "city-1", now=START),
        other.sign("ping", "city-1", now=START, expires="never"),
        office.sign("restart", "city-1", now=START, topic=f"{PREFIX}/commands/diagnose"),
        office.sign("restart", "city-1", now=START, topic="traffic/v1/delft/cam-2/commands/restart"),
    ):
        found = read_command(PREFIX, message, office.trust)
        assert isinstance(found, Refused)
        assert (found.code, found.id, found.key) == ("unauthorised", "city-1", "")


def test_a_device_without_keys_says_so(office: CommandingOffice) -> None:
    found = read_command(PREFIX, office.sign("restart", "city-1", now=START))
    assert isinstance(found, Refused)
    assert (found.code, "office.keys" in found.error) == ("unauthorised", True)


@pytest.mark.parametrize("changes", [{"id": "no id"}, {"schema": "edge-app/command/2"}, {"id": None}])
def test_what_is_signed_and_no_command_is_ignored(office: CommandingOffice, changes: dict[str, Any]) -> None:
    assert outcome(office, office.sign("restart", "city-1", now=START, **changes)) == "ignored"


def test_a_retained_or_long_one_is_ignored(office: CommandingOffice) -> None:
    message = office.sign("restart", "city-1", now=START)
    assert outcome(office, replace(message, retained=True)) == "ignored"
    assert outcome(office, replace(message, payload=message.payload + b" " * 16_384)) == "ignored"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("harvest", {}),
        ("harvest", {"enabled": 1, "hours": 4}),
        ("harvest", {"enabled": True}),
        ("harvest", {"enabled": True, "hours": 0}),
        ("harvest", {"enabled": True, "hours": 169}),
        ("harvest", {"enabled": True, "hours": 1.5}),
        ("harvest", {"enabled": True, "hours": True}),
        ("snapshot", {"width": 159}),
        ("snapshot", {"width": 1281}),
        ("snapshot", {"width": "640"}),
        ("snapshot", {"width": None}),
        ("snapshot", {"lines": "yes"}),
        ("fetch", {}),
        ("fetch", BUNDLE | {"url": "http://city.example/b.zip"}),
        ("fetch", BUNDLE | {"url": "file:///etc/passwd"}),
        ("fetch", BUNDLE | {"url": "https://city.example/a b.zip"}),
        ("fetch", BUNDLE | {"url": 1}),
        ("fetch", BUNDLE | {"bytes": 0}),
        ("fetch", BUNDLE | {"bytes": True}),
        ("fetch", BUNDLE | {"bytes": 64_000_001}),
        ("fetch", BUNDLE | {"sha256": "AB" * 32}),
        ("fetch", BUNDLE | {"sha256": "../" * 21 + "a"}),
    ],
)
def test_wrong_arguments_are_a_bad_request(office: CommandingOffice, name: str, args: dict[str, Any]) -> None:
    assert outcome(office, office.sign(name, "city-1", args, now=START)) == "bad_request"


def test_arguments_are_read_with_their_defaults() -> None:
    assert (harvest_args(ON).hours, harvest_args({"enabled": False, "hours": 9}).hours) == (4, 0)
    assert fetch_args(BUNDLE) == FetchArgs(**BUNDLE)
    assert (snapshot_args({}).width, snapshot_args({"width": 1280, "lines": True}).lines) == (640, True)


@pytest.mark.parametrize(
    ("now", "synced", "code"),
    [
        (START, True, ""),
        (START - 300, True, ""),
        (START - 301, True, "clock"),
        (START + 600, True, ""),
        (START + 601, True, "expired"),
        (START, False, "clock"),
        (START + 601, False, "clock"),
    ],
)
def test_a_signed_command_is_carried_out_within_its_time_alone(
    office: CommandingOffice, now: float, synced: bool, code: str
) -> None:
    found = read_command(PREFIX, office.sign("restart", "city-1", now=START), office.trust)
    assert isinstance(found, Command)
    refused = untimely(found, now, synced=synced)
    assert (refused.code if refused else "") == code


@cache
def _good(office: CommandingOffice) -> bytes:
    return office.sign("snapshot", "city-1", now=START).payload


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_no_byte_of_a_signed_command_can_be_changed(office: CommandingOffice, data: st.DataObject) -> None:
    good = _good(office)
    place = data.draw(st.integers(0, len(good) - 1))
    changed = good[:place] + bytes([data.draw(st.integers(0, 255))]) + good[place + 1 :]
    found = read_command(PREFIX, Message(f"{PREFIX}/commands/snapshot", changed, 1), office.trust)
    if isinstance(found, Command):  # the same document, written in another way
        assert json.loads(changed)["document"] == json.loads(good)["document"]
        assert found.key == office.name


@settings(deadline=None, max_examples=80)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from([*NAMES, "reboot"]),
)
def test_nothing_that_is_signed_raises(office: CommandingOffice, garbage: Any, name: str) -> None:
    for changes in ({"args": garbage}, {"at": garbage}, {"expires": garbage}, {"id": garbage}):
        try:
            message = office.sign(name, "city-1", now=START, **changes)
        except ValueError:  # no office can sign half of a surrogate pair
            continue
        read_command(PREFIX, message, office.trust)
        read_command(PREFIX, unsigned(message), office.trust)
    envelope = {**json.loads(_good(office)), "document": garbage}
    read_command(PREFIX, Message(f"{PREFIX}/commands/{name}", json.dumps(envelope).encode(), 1), office.trust)


def test_the_example_of_the_contract_is_signed_as_it_says() -> None:
    public = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    message = Message("traffic/v1/harbour/pole-7/commands/diagnose", json.dumps(EXAMPLES["signed_commands"]).encode())
    found = read_command("traffic/v1/harbour/pole-7", message, Trust({key_name(public): public}, verify))
    assert isinstance(found, Command)
    assert (found.id, found.name, found.key) == ("city-0b1c", "diagnose", "21fe31df")
    text = (ROOT / "docs/mqtt.md").read_text("utf-8")
    assert public in text
    assert EXAMPLES["signed_commands"]["signature"] in text
