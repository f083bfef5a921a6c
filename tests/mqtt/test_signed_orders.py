"""Signed commands at a device with a real archive and a real broker: carried out once, answered, sent in pieces."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from edge_app.city.conversation import Fetching
from edge_app.errors import CommandError, PreviewError
from edge_app.mqtt.command_desk import SignedWork
from edge_app.mqtt.commands import Command, FetchArgs, ReleaseArgs, ReplyTo, release_args
from edge_app.mqtt.delivery import Pace
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Message, Timing
from edge_app.mqtt.incoming import Incoming
from edge_app.mqtt.incoming import piece as incoming_piece
from edge_app.mqtt.office_messages import ReleaseReported
from edge_app.mqtt.pieces import AT_ONCE, MAX_BYTES, Parcel, Pieces
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.signed_log import SignedLog
from tests.support.asking_city import city, command, numbers
from tests.support.brokers import mosquitto, needs_mosquitto, password_file
from tests.support.publisher_cases import DEVICE, START, State, settle, steps
from tests.support.relay import relay
from tests.support.schemas import validate
from tests.support.signed_commands import CommandingOffice, put_together, unsigned

NOW = START + 1e6
CONTENT = random.Random(7).randbytes(130_000)
ON = {"enabled": True, "hours": 4}


@dataclass
class Device:
    """What a device does for its office, as a test sets it."""

    office: CommandingOffice
    restarts: int = 0
    hours: list[int] = field(default_factory=list)
    synced: bool = True
    fault: Exception | None = None
    content: bytes = CONTENT
    orders: list[bytes] = field(default_factory=list)
    report: ReleaseReported | None = None
    may_make: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_make.set()

    @property
    def does(self) -> SignedWork:
        did = self.harvest, self.make, self.picture, self.fetch, self
        return SignedWork(self.office.trust, lambda: self.synced, self.restart, *did)

    def restart(self) -> None:
        self.restarts += 1

    def harvest(self, hours: int) -> str | None:
        if self.fault:
            raise self.fault
        self.hours.append(hours)
        return "2027-01-15T12:00:00Z" if hours else None

    def make(self) -> Parcel:
        self.may_make.wait(10)
        if self.fault:
            raise self.fault
        return Parcel("a.zip", "application/zip", self.content)

    def picture(self, width: int, lines: bool) -> Parcel:
        self.may_make.wait(10)
        return Parcel(f"{width}-{lines}.jpg", "image/jpeg", self.content)

    def fetch(self, args: FetchArgs, _incoming: Incoming | None = None) -> dict[str, Any]:
        self.may_make.wait(10)
        if self.fault:
            raise self.fault
        return {"model": "ab" * 32, "name": args.url, "input": "300x300", "stage": "candidate"}

    def order(self, args: ReleaseArgs, message: bytes) -> dict[str, Any]:
        if self.fault:
            raise self.fault
        self.orders.append(message)
        return {"name": args.sums.split()[1], "version": "0.2.0"}

    def may_go_back(self) -> None:
        if self.fault:
            raise self.fault

    def go_back(self, message: bytes) -> None:
        self.orders.append(message)

    def sign(self, name: str, identifier: str, args: dict[str, Any] | None = None, **options: Any) -> Message:
        return self.office.sign(name, identifier, args, **({"now": NOW} | options))


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(CommandingOffice(tmp_path, DEVICE.prefix))


def test_a_restart_comes_after_its_answer_and_only_once(state: State, port: int, device: Device) -> None:
    with city(state, port, signed_work=device.does) as found:
        message = device.sign("restart", "city-1")
        found.send(message)
        found.until(lambda: found.publisher._desk._replies)
        assert device.restarts == 0
        found.until(lambda: device.restarts)
        found.until(lambda: found.replies("city-1"))
        assert found.replies("city-1") == [{**found.replies("city-1")[0], "ok": True, "result": {}}]
        assert found.ask(message) == found.replies("city-1")[0]
        found.until(lambda: not found.publisher._desk._replies)
    state.reopen()
    with city(state, port, signed_work=device.does) as found:
        assert found.ask(message)["ok"] is True
        found.until(lambda: not found.publisher._desk._replies)
    assert device.restarts == 1


RELEASE = {
    "url": "https://city.example/edge-app-0.2.0-aarch64.tar.xz",
    "bytes": 90_000_000,
    "sha256": "ab" * 32,
    "sums": f"{'ab' * 32}  edge-app-0.2.0-aarch64.tar.xz\n",
    "sums_signature": base64.b64encode(bytes(64)).decode(),
}


def test_an_order_of_a_release_is_handed_on_as_it_was_signed(state: State, port: int, device: Device) -> None:
    with city(state, port, signed_work=device.does) as found:
        message = device.sign("release", "city-1", RELEASE)
        assert found.ask(message)["result"] == {"name": "edge-app-0.2.0-aarch64.tar.xz", "version": "0.2.0"}
        assert device.orders == [message.payload]
        back = device.sign("rollback", "city-2")
        assert found.ask(back)["result"] == {}
        found.until(lambda: device.orders == [message.payload, back.payload])
        device.fault = CommandError("There is no release before this one on the device.")
        answer = found.ask(device.sign("rollback", "city-3"))
        assert (answer["code"], answer["error"]) == ("failed", str(device.fault))
        assert found.ask(unsigned(device.sign("release", "city-4", RELEASE)))["code"] == "unauthorised"


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://city.example/a.tar.xz"},
        {"bytes": 2**30 + 1},
        {"sha256": "AB" * 32},
        {"sums": "\u00e9"},
        {"sums": "a" * 4001},
        {"sums_signature": "a" * 88},
        {"sums_signature": None},
        {"older": 1},
    ],
)
def test_an_order_of_another_form_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="args"):
        release_args(RELEASE | wrong)


def test_a_restart_waits_for_a_broker_that_acknowledges_late(state: State, port: int, device: Device) -> None:
    timing = Timing(connect=2.0, keepalive=60, ack=0.3)
    with relay(port) as between, city(state, between.port, port, timing=timing, signed_work=device.does) as found:
        found.send(device.sign("restart", "city-1"))
        found.until(lambda: found.publisher._desk._replies)
        between.deaf.set()
        found.until(lambda: "no acknowledgement" in found.publisher.problem or device.restarts)
        between.deaf.clear()
        found.until(lambda: device.restarts)
        found.until(lambda: found.replies("city-1"))
    assert device.restarts == 1


def test_nobody_without_a_key_blocks_or_reads_what_the_office_asks(
    state: State, port: int, device: Device, tmp_path: Path
) -> None:
    device.content = b"small"
    real = device.sign("diagnose", "city-1")
    forged = CommandingOffice(tmp_path, DEVICE.prefix, "forger.pem").sign("diagnose", "city-1", now=NOW)
    with city(state, port, signed_work=device.does) as found:
        for message in (forged, unsigned(real)):
            assert found.ask(message)["code"] == "unauthorised"
        assert found.ask(command("reboot", "city-1"))["code"] == "unknown_command"
        answer = found.ask(real)
        assert answer["result"]["bytes"] == 5
        assert found.ask(forged)["code"] == "unauthorised"
        assert found.ask(command("reboot", "city-1"))["code"] == "unknown_command"
        assert found.ask(command("resend", "city-1", **numbers(1, 1)))["code"] == "unknown_command"
        assert found.ask(real) == answer
        assert len(found.pieces("city-1")) == 1


def test_a_flood_of_unsigned_commands_pushes_no_signed_one_out_of_memory(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_app.storage.memory._COMMANDS", 20)
    memory = state.outbox.memory
    memory.begin_command("city-1", "t", b"", signed=True)
    memory.finish_command("city-1", "done", signed=True)
    for n in range(30):
        memory.begin_command(f"x-{n}", "t", b"", signed=False)
    known = memory.known_command("city-1", signed=True)
    assert known is not None
    assert (known.reply, known.signed) == ("done", True)
    assert memory.known_command("city-1", signed=False) is None
    kept = {(f"x-{n}", False) for n in range(10, 30)}
    assert {(one.id, one.signed) for one in memory.unfinished_commands()} == kept
    for n in range(20):
        memory.begin_command(f"y-{n}", "t", b"", signed=True)
    assert memory.known_command("city-1", signed=True) is None
    assert {(one.id, one.signed) for one in memory.unfinished_commands()} == kept | {
        (f"y-{n}", True) for n in range(20)
    }


def test_an_old_one_and_an_uncertain_clock_are_refused_and_not_remembered(
    state: State, port: int, device: Device
) -> None:
    with city(state, port, signed_work=device.does) as found:
        device.synced = False
        message = device.sign("harvest", "city-1", ON)
        assert found.ask(message)["code"] == "clock"
        device.synced = True
        assert found.ask(device.sign("harvest", "city-1", ON, now=NOW - 3600))["code"] == "expired"
        assert found.ask(device.sign("harvest", "city-1", ON, now=NOW + 3600))["code"] == "clock"
        assert device.hours == []
        assert found.ask(message)["result"] == {"until": "2027-01-15T12:00:00Z"}
        assert found.ask(device.sign("harvest", "city-2", {"enabled": False}))["result"] == {"until": None}
        assert (device.hours, found.publisher.refused_commands) == ([4, 0], 3)


def test_what_is_signed_and_needs_no_signature_is_done_as_ever(state: State, port: int, device: Device) -> None:
    state.close_intervals(2)
    device.synced = False
    with city(state, port, signed_work=device.does) as found:
        assert found.ask(device.sign("ping", "city-1", now=NOW - 1e5))["result"]["state"] == "online"
        answer = found.ask(device.sign("resend", "city-2", numbers(1, 2), now=NOW - 1e5))
        assert answer["result"] == {"sent": 2, "missing": []}


def test_what_fails_is_told_in_a_sentence(state: State, port: int, device: Device) -> None:
    with city(state, port, signed_work=device.does) as found:
        device.fault = CommandError("No pictures here.")
        for name, args in (("harvest", ON), ("diagnose", {})):
            answer = found.ask(device.sign(name, f"city-{name}", args))
            assert (answer["code"], answer["error"]) == ("failed", "No pictures here.")
        device.fault = PreviewError("there is no picture at mqtt://u:secret@h/x")
        assert "secret" not in found.ask(device.sign("diagnose", "city-3"))["error"]
        device.fault = RuntimeError("a fault of the program")
        assert "journal" in found.ask(device.sign("diagnose", "city-4"))["error"]
        device.fault = None
        assert found.ask(device.sign("diagnose", "city-5"))["ok"] is True


def test_pieces_go_out_in_order_and_are_the_whole(state: State, port: int, device: Device) -> None:
    with city(state, port, signed_work=device.does) as found:
        answer = found.ask(device.sign("snapshot", "city-1", {"width": 320, "lines": True}))
        result = answer["result"]
        assert (result["name"], result["media_type"], result["pieces"]) == ("320-True.jpg", "image/jpeg", 11)
        assert put_together(found.pieces("city-1"), result) == CONTENT
        assert [json.loads(one)["piece"] for one in found.pieces("city-1")] == list(range(1, 12))
        topics = [m.topic.rpartition("/")[0] for m in found.messages if "/pieces/" in m.topic or "/replies/" in m.topic]
        assert topics[-1].endswith("/replies"), "the answer came before the last piece"


def test_one_of_both_is_at_work_at_a_time(state: State, port: int, device: Device) -> None:
    device.may_make.clear()
    with city(state, port, signed_work=device.does) as found:
        found.send(device.sign("diagnose", "city-1"))
        found.until(lambda: found.publisher._desk._delivering)
        assert found.ask(device.sign("snapshot", "city-2"))["code"] == "busy"
        assert found.ask(device.sign("diagnose", "city-3"))["code"] == "busy"
        again = Message(f"{DEVICE.prefix}/commands/diagnose", device.sign("diagnose", "city-1").payload, 1)
        found.send(again)
        steps(found.publisher, 3)
        device.may_make.set()
        found.until(lambda: found.replies("city-1"))
        assert found.ask(device.sign("snapshot", "city-2"))["ok"] is True, "busy is not remembered"
        put_together(found.pieces("city-1"), found.replies("city-1")[0]["result"])
        assert len(found.pieces("city-1")) == 11


def test_counts_go_before_pieces_and_few_of_them_are_under_way(state: State, port: int, device: Device) -> None:
    device.content = CONTENT * 4
    device.may_make.clear()
    with city(state, port, signed_work=device.does, pace=Pace(rate=1e6)) as found:
        most = watched(found.publisher)
        found.send(device.sign("diagnose", "city-1"))
        found.until(lambda: found.publisher._desk._delivering)
        state.close_intervals(40)
        device.may_make.set()
        found.until(lambda: found.replies("city-1"))
        topics = [m.topic for m in found.messages]
        counted = max(n for n, topic in enumerate(topics) if topic.endswith("/counts/a"))
        assert sum("/pieces/" in topic for topic in topics[:counted]) <= 2 * AT_ONCE, "pieces went before the counts"
        put_together(found.pieces("city-1"), found.replies("city-1")[0]["result"])
        assert 0 < most() <= AT_ONCE


def test_pieces_wait_while_counts_wait_for_their_acknowledgement(state: State, port: int, device: Device) -> None:
    timing = Timing(connect=2.0, keepalive=60, ack=10.0)
    with relay(port) as between, city(state, between.port, port, timing=timing, signed_work=device.does) as found:
        publisher = found.publisher
        between.deaf.set()
        state.close_intervals(30)
        settle(publisher, lambda: len(publisher._in_flight) >= 20)
        publisher._desk.receive(device.sign("diagnose", "city-1"))
        settle(publisher, lambda: (work := publisher._desk._delivering) and work[1]._pieces)
        steps(publisher, 3)
        assert not [one for one in publisher._in_flight._sent.values() if "/pieces/" in one.topic]
        between.deaf.clear()
        found.until(lambda: found.replies("city-1"))
        put_together(found.pieces("city-1"), found.replies("city-1")[0]["result"])


def test_what_was_not_acknowledged_is_sent_again_before_the_rest() -> None:
    pieces = Pieces("p", "city-1", Parcel("a", "b/c", CONTENT))
    sent = pieces.due(5)
    sent[1][1]("")
    pieces.lost()
    assert [json.loads(message.payload)["piece"] for message, _ in pieces.due(5)] == [1, 3, 4, 5, 6]
    pieces.lost()
    numbers_left: list[int] = []
    while not pieces.done:
        for message, answered in pieces.due(2):
            numbers_left.append(json.loads(message.payload)["piece"])
            answered("")
    assert numbers_left == [1, *range(3, 12)]


def watched(publisher: Publisher) -> Callable[[], int]:
    """Return a function that tells how many pieces were in flight at most."""
    seen = [0]
    publish = publisher._publish

    def published(message: Message, *args: Any, **options: Any) -> int:
        token = publish(message, *args, **options)
        waiting = sum("/pieces/" in one.topic for one in publisher._in_flight._sent.values())
        seen[0] = max(seen[0], waiting)
        return token

    publisher._publish = published  # type: ignore[method-assign]
    return lambda: seen[0]


def test_pieces_go_on_over_a_lost_connection(state: State, port: int, device: Device) -> None:
    device.content = CONTENT * 4
    timing = Timing(connect=2.0, keepalive=60, ack=0.3)
    with relay(port) as between, city(state, between.port, port, timing=timing, signed_work=device.does) as found:
        found.send(device.sign("diagnose", "city-1"))
        found.until(lambda: len(found.pieces("city-1")) >= 3)
        between.deaf.set()
        found.until(lambda: "no acknowledgement" in found.publisher.problem)
        between.deaf.clear()
        found.until(lambda: found.replies("city-1"))
        put_together(found.pieces("city-1"), found.replies("city-1")[0]["result"])


def test_what_a_restart_cuts_short_fails(state: State, port: int, device: Device) -> None:
    device.may_make.clear()
    message = device.sign("diagnose", "city-1")
    with city(state, port, signed_work=device.does) as found:
        found.send(message)
        found.until(lambda: found.publisher._desk._delivering)
    device.may_make.set()
    state.reopen()
    with city(state, port, signed_work=device.does) as found:
        answer = found.ask(message)
        assert (answer["code"], found.pieces("city-1")) == ("failed", [])


@needs_mosquitto
def test_a_broker_of_small_packets_gets_smaller_pieces(state: State, tmp_path: Path, device: Device) -> None:
    with (
        mosquitto(tmp_path / "small", "allow_anonymous true", "max_packet_size 3000") as broker,
        city(state, broker.port, signed_work=device.does) as found,
    ):
        answer = found.ask(device.sign("diagnose", "city-1"))
        assert put_together(found.pieces("city-1"), answer["result"]) == CONTENT
        assert answer["result"]["pieces"] > 50


@needs_mosquitto
def test_a_broker_that_refuses_pieces_holds_no_count_back(state: State, tmp_path: Path, device: Device) -> None:
    folder = tmp_path / "guarded"
    folder.mkdir()
    access = folder / "access"
    parts = ("status", "meta", "meta/cd", "health", "counts/a", "latest/a", "replies/diagnose")
    lines = [f"topic write {DEVICE.prefix}/{part}" for part in parts]
    access.write_text("\n".join(["user cam", *lines, f"topic read {DEVICE.prefix}/commands/#", "user city", "topic #"]))
    settings = ("allow_anonymous false", f"password_file {password_file(folder, 'cam', 'right')}", f"acl_file {access}")
    with mosquitto(folder, *settings) as broker:
        publisher = state.publisher(0, to=Endpoint(HOST, broker.port, "cam", "right"), signed_work=device.does)
        settle(publisher, lambda: publisher.connected)
        publisher._desk.receive(device.sign("diagnose", "city-1"))
        settle(publisher, lambda: (known := state.outbox.memory.known_command("city-1", signed=True)) and known.reply)
        known = state.outbox.memory.known_command("city-1", signed=True)
        assert known is not None
        answer = json.loads(known.reply)
        assert (answer["code"], "refuses the pieces (Not authorized)" in answer["error"]) == ("failed", True)
        state.close_intervals(3)
        settle(publisher, lambda: len(state.outbox) == 0)
        assert publisher.problem == ""
        publisher.drain(1.0)


@pytest.mark.parametrize("size", [1, 11_999, 12_000, 12_001, 36_000])
@pytest.mark.parametrize("max_packet", [0, 1_500, 16_384])
def test_pieces_fit_the_packets_of_the_broker(size: int, max_packet: int) -> None:
    pieces = Pieces("p", "i" * 64, Parcel("a", "b/c", CONTENT[:size]), max_packet)
    sent: list[bytes] = []
    while not pieces.done:
        due = pieces.due(3)
        assert 0 < len(due) <= 3
        for message, answered in due:
            assert len(message.payload) <= 16_384
            assert message.packet_size <= (max_packet or 1e9)
            sent.append(message.payload)
            answered("")
    assert put_together(sent, pieces.result()) == CONTENT[:size]


def test_too_small_packets_and_too_much_content_are_refused() -> None:
    with pytest.raises(CommandError, match="at most 1000 bytes"):
        Pieces("p", "city-1", Parcel("a", "b/c", b"1"), 1_000)
    with pytest.raises(CommandError, match="8000001 bytes"):
        Pieces("p", "city-1", Parcel("a", "b/c", bytes(MAX_BYTES + 1)))


def test_each_signed_command_is_told_to_the_journal_and_a_flood_does_not_fill_it(
    state: State, port: int, device: Device, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO)
    forger = CommandingOffice(tmp_path, DEVICE.prefix, "forger.pem")
    with city(state, port, signed_work=device.does) as found:
        found.ask(device.sign("restart", "city-1"))
        found.ask(forger.sign("restart", "city-2", now=NOW))
        found.ask(command("restart", "city-3"))
        found.ask(device.sign("diagnose", "city-4"))
        told = lines(caplog)
        assert [(one["command"], one["id"], one["key"]) for one in told] == [
            ("restart", "city-1", device.office.name),
            ("restart", "city-2", "none that is known"),
            ("restart", "city-3", "none that is known"),
            ("diagnose", "city-4", device.office.name),
            ("diagnose", "city-4", device.office.name),
        ]
        outcomes = [str(one["outcome"]).partition(":")[0] for one in told]
        assert outcomes == ["taken", "unauthorised", "unauthorised", "taken", f"sent {len(CONTENT)} bytes"]
        for n in range(200):
            found.publisher._desk.receive(command("restart", f"x-{n}"))
        assert len(lines(caplog)) == 5 + 28
        assert found.publisher.refused_commands == 202


def test_refusals_that_were_not_told_are_told_as_a_number(caplog: pytest.LogCaptureFixture) -> None:
    now = [NOW]
    told = SignedLog(lambda: now[0])
    for _ in range(2):
        for n in range(40):
            told.refused(Command(f"x-{n}", "restart", {}, ReplyTo("t")), "expired", "It expired.")
        now[0] += 60.0
    assert "10 more signed commands were refused" in caplog.text
    assert len(lines(caplog)) == 60


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.getMessage() == "signed command"]


def test_what_was_fetched_is_the_answer_and_no_pieces_are_sent(state: State, port: int, device: Device) -> None:
    args = {"url": "https://city.example/b.zip", "bytes": 1000, "sha256": "ab" * 32}
    with city(state, port, signed_work=device.does) as found:
        device.may_make.clear()
        found.send(device.sign("fetch", "city-1", args))
        assert found.ask(device.sign("diagnose", "city-2"))["code"] == "busy"
        device.may_make.set()
        found.until(lambda: found.replies("city-1"))
        assert found.replies("city-1")[0]["result"]["name"] == args["url"]
        device.fault = CommandError("city.example answers 404 Not Found.")
        answer = found.ask(device.sign("fetch", "city-3", args))
        assert (answer["code"], answer["error"]) == ("failed", "city.example answers 404 Not Found.")


def test_a_bundle_comes_from_the_broker_in_pieces_that_are_asked_for(state: State, port: int, device: Device) -> None:
    fetched: list[bytes] = []

    def fetch(args: FetchArgs, incoming: Incoming | None) -> dict[str, Any]:
        assert incoming is not None
        pieces = [incoming.read(number, 20.0) or b"" for number in range(1, incoming.of + 1)]
        fetched.append(b"".join(pieces))
        return {"model": args.sha256, "name": "new", "input": "300x300", "stage": "candidate"}

    args = {"bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    with city(state, port, signed_work=replace(device.does, fetch=fetch)) as found:
        command = device.sign("fetch", "city-1", args)
        talk, taken = Fetching(DEVICE.prefix, "city-1", command.payload.decode(), CONTENT), 0
        waiting: list[int] = []
        found.send(talk.opening())
        while not talk.outcome:
            found.turn()
            for message in found.messages[taken:]:
                taken += 1
                if message.topic in talk.topics:
                    talk.receive(message)
                    due = talk.due()
                    waiting.append(len(due))
                    for piece in due:
                        validate("incoming_pieces", piece.payload)
                        found.send(piece)
    assert fetched == [CONTENT]
    assert talk.outcome.ok
    assert max(waiting) == AT_ONCE
    for one in found.pieces("city-1"):
        validate("piece_requests", one)


def test_pieces_that_nobody_has_asked_for_are_ignored(state: State, port: int, device: Device) -> None:
    with city(state, port, signed_work=device.does) as found:
        found.send(incoming_piece(DEVICE.prefix, "city-1", CONTENT, 1))
        found.until(lambda: found.publisher._desk.ignored == 1)
        assert found.ask(device.sign("ping", "city-2"))["ok"]
