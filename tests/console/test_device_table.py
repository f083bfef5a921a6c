"""Test the device table of `edge-app watch`: what it collects from messages, and how it is shown."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.console.device_table import DeviceTable, LineEntry
from edge_app.console.tables import age, demo_view, devices_view, line_text, watch_view
from edge_app.mqtt.count_messages import CountsMessage
from edge_app.mqtt.events import Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import Device
from edge_app.system.names import clean
from tests.support.watch_cases import DEVICE, PREFIX, at, counts, device_table, health, meta, row, shown, status

# --- collecting


def test_an_interval_counts_once_however_often_it_arrives() -> None:
    table = DeviceTable(PREFIX)
    assert table.add(counts(1)) is not None
    assert table.add(counts(1)) is None
    latest = counts(1)
    assert table.add(Message(f"{DEVICE.prefix}/latest/north", latest.payload, 1, True)) is None
    assert len(table.entries["delft", "cam-1"].lines["north"].recent) == 1


@given(st.permutations(range(1, 9)), st.sets(st.integers(2, 7)))
@settings(deadline=None, max_examples=50)
def test_missing_counts_the_skipped_numbers_that_never_came(order: list[int], lost: set[int]) -> None:
    first, last = 1, 8
    line = LineEntry(20)
    sequence = [first, *(seq for seq in order if seq not in lost | {first, last}), last]
    for seq in sequence:
        line.add(CountsMessage.model_validate_json(counts(seq).payload))
    assert line.missing == len(lost)
    assert [message.seq for message in line.recent] == sorted(sequence)


def test_numbers_that_restart_are_no_gap() -> None:
    line = LineEntry(20)
    for message in (counts(7), counts(8)):
        line.add(CountsMessage.model_validate_json(message.payload))
    restarted = json.loads(counts(9).payload) | {"seq": 1}
    line.add(CountsMessage.model_validate(restarted))
    line.add(CountsMessage.model_validate(json.loads(counts(10).payload) | {"seq": 2}))
    assert line.missing == 0


def test_our_own_absence_is_no_gap_of_the_device() -> None:
    table = device_table(counts(1))
    table.resume()
    table.add(counts(5))
    table.add(counts(7))
    assert table.entries["delft", "cam-1"].lines["north"].missing == 1


@pytest.mark.parametrize(
    "message",
    [
        Message(f"{PREFIX}/delft/cam-1/counts/north", b"{"),
        Message(f"{PREFIX}/delft/cam-1/counts/north", b"\xff\xfe"),
        Message(f"{PREFIX}/delft/cam-1/counts/north", counts(1).payload.replace(b"counts/1", b"counts/2")),
        Message(f"{PREFIX}/delft/cam-1/status", b'{"state": "asleep"}'),
        Message(f"{PREFIX}/delft/cam-1/health", b"[]"),
        Message(f"{PREFIX}/delft/\x1b[2J/status", status("online").payload),
        Message(f"{PREFIX}/delft", b"1"),
        Message(f"{PREFIX}/delft/cam-1/counts/north/more", counts(1).payload),
    ],
    ids=lambda message: message.topic[-12:],
)
def test_unreadable_messages_are_counted_and_shown(message: Message) -> None:
    table = device_table(status("online"), message)
    assert table.unreadable == 1
    assert "unreadable messages: 1" in shown(watch_view(table, at(0), "broker", "", connected=True))


@given(st.text(max_size=40), st.binary(max_size=60))
@settings(deadline=None, max_examples=100)
def test_no_message_ends_the_program(topic: str, payload: bytes) -> None:
    table = device_table(Message(f"{PREFIX}/{topic}", payload), Message(f"{PREFIX}/a/b/counts/c", payload))
    assert shown(watch_view(table, at(0), "broker", "", connected=True))


HUGE = 10**4299
"""Longest number that Python reads from a text, within a factor of ten; its sums are too long to be written."""


@pytest.mark.parametrize(
    "changes",
    [
        [{"seq": 1}, {"seq": 9 * HUGE + HUGE - 1, "start": "2026-01-01T00:00:00Z"}, {"seq": 9 * HUGE}],
        [{"counts": {"car": {"left_to_right": HUGE, "right_to_left": HUGE}}}],
        [{"counts": {f"x{n}": {"left_to_right": 1, "right_to_left": 1} for n in range(400)}}],
        [{"counts": {"x" * 100_000: {"left_to_right": 1, "right_to_left": 1}}}],
        [{"quality": ["f" * 100_000, *["g\x1b[2J\u202e"] * 20_000]}],
        [{"start": "0001-01-01T00:00:00+23:59"}, {"start": "9999-12-31T23:59:59-23:59"}],
        [{"coverage": float("nan")}, {"interval_s": float("inf")}, {"seq": 1e300}],
    ],
    ids=["seq", "figures", "many classes", "a long class", "flags", "years", "no numbers"],
)
def test_one_hostile_device_leaves_room_for_the_others(changes: list[dict[str, object]]) -> None:
    plain = json.loads(counts(1).payload)
    hostile = [
        Message(f"{DEVICE.prefix}/counts/north", json.dumps({**plain, "id": str(number), **change}).encode())
        for number, change in enumerate(changes)
    ]
    other = Device("delft", "cam-2", "boot", "0.1.0")
    table = device_table(status("online"), counts(1, device=other), *hostile)
    screen = shown(watch_view(table, at(0), "broker", "", connected=True))
    assert row(screen, "delft/cam-2")
    assert len(screen.splitlines()) <= 60
    assert max(map(len, screen.splitlines())) <= 80
    assert all(line_text(update) for message in hostile if (update := DeviceTable(PREFIX).add(message)))


def test_a_long_complaint_of_a_device_is_cut() -> None:
    screen = shown(devices_view(device_table(status("online"), health(problem="no " * 100_000)), at(0)))
    assert len(screen.splitlines()) <= 20


@pytest.mark.parametrize(
    "topic",
    ["snapshot", "meta/0123456789ab", "commands/resend", "replies/resend", "new/a/b", "crossings/north"],
)
@pytest.mark.parametrize("payload", [b"\xff\xd8", b"", b"{}"])
def test_topics_that_bring_no_counts_are_no_fault(topic: str, payload: bytes) -> None:
    table = device_table(status("online"), meta(), Message(f"{DEVICE.prefix}/{topic}", payload, 1, True))
    assert table.unreadable == 0
    assert table.entries["delft", "cam-1"].meta is not None


def test_a_cleared_status_removes_the_device() -> None:
    table = device_table(status("online"), counts(1), Message(f"{DEVICE.prefix}/status", b"", 1, True))
    assert not table.entries
    assert table.unreadable == 0


# --- showing


def test_mean_speeds_and_flows_are_shown_where_they_are_measured() -> None:
    ways = {"left_to_right": {"n": 3, "unmeasured": 1, "sum": 145.5, "sum_inverse": 0.06, "bins": {"48": 3}}}
    other = {"right_to_left": {"n": 0, "unmeasured": 2, "sum": 0, "sum_inverse": 0, "bins": {}}}
    measured = json.loads(counts(1, 4).payload) | {"speed": {"car": ways, "bus": ways | other}}
    flows = EXAMPLES["flows"]
    table = device_table(
        status("online"),
        Message(f"{DEVICE.prefix}/counts/north", json.dumps(measured).encode()),
        Message(f"{DEVICE.prefix}/latest/_flows", json.dumps(flows).encode(), 1, True),
    )
    screen = shown(devices_view(table, at(90)))
    assert "north: mean speed > 48 km/h" in screen
    assert "09:11:00 flows quay-road to bridge 2, quay-road to quay-road 1, entered 3" in " ".join(screen.split())
    assert max(map(len, screen.splitlines())) <= 80
    again = table.add(Message(f"{DEVICE.prefix}/flows", json.dumps(flows).encode(), 1))
    assert again is None, "what `latest` has told already"
    later = table.add(
        Message(f"{DEVICE.prefix}/flows", json.dumps({**flows, "start": "2026-11-29T09:12:00Z"}).encode())
    )
    assert later is not None
    assert line_text(later).startswith("09:12:00 delft/cam-1 flows quay-road to bridge 2")
    plain = shown(devices_view(device_table(status("online"), counts(1)), at(90)))
    assert "speed" not in plain


def test_three_faults_look_different() -> None:
    quiet, blind, gone = (Device("delft", name, "boot", "0.1.0") for name in ("a-quiet", "b-blind", "c-gone"))
    table = device_table(
        *(status("online", quiet), counts(1, 0, device=quiet)),
        *(status("online", blind), counts(1, 0, device=blind, observed_s=0.0)),
        *(status("offline", gone), counts(1, 3, device=gone)),
    )
    lines = shown(watch_view(table, at(125), "broker", "", connected=True)).splitlines()
    assert max(map(len, lines)) <= 80
    (head_quiet, row_quiet), (head_blind, row_blind), (head_gone, row_gone) = (
        lines[n : n + 2] for n, line in enumerate(lines) if line.startswith("delft/")
    )
    assert "online" in head_quiet
    assert row_quiet.split()[-2:] == ["no", "traffic"]
    assert "100 %" in row_quiet
    assert "online" in head_blind
    assert row_blind.split()[-2:] == ["no", "camera"]
    assert " 0 %" in row_blind
    assert "offline" in head_gone
    assert "heard 5 s ago" in head_gone
    assert "no " not in row_gone


def test_late_and_missing_intervals_and_reported_problems_are_shown() -> None:
    table = device_table(
        status("online"), health(problem="broker: refuses\x1b[2J us", state="lost"), counts(1), counts(4, late=True)
    )
    text = shown(devices_view(table, at(300)))
    assert "late, missing 2" in " ".join(text.split())
    assert "broker: refuses [2J us" in text
    assert "\x1b" not in text
    assert "source: lost" in text


def test_a_camera_without_a_picture_is_told_once() -> None:
    for state, problem, detail in (("lost", "camera gone", "camera gone"), ("frozen", "the camera is frozen", "")):
        told = health(problem=problem, state=state, detail=detail)
        assert shown(devices_view(device_table(status("online"), told), at(0))).count("camera") == 1, problem


def test_an_offline_device_shows_no_problem() -> None:
    assert "camera" not in shown(devices_view(device_table(health(detail="camera gone"), status("offline")), at(0)))


def test_long_names_still_fit() -> None:
    far = Device("s" * 64, "d" * 64, "boot", "0.1.0")
    table = device_table(status("online", far), health(far), counts(1, device=far, line="l" * 64))
    assert max(map(len, shown(watch_view(table, at(0), "broker", "", connected=True)).splitlines())) <= 80


@given(
    width=st.integers(40, 130),
    cars=st.sampled_from([0, 7, 42, 1234]),
    line=st.sampled_from(["n", "north", "main-road-south-side"]),
    coverage=st.sampled_from([0.0, 0.451, 1.0]),
    more=st.sampled_from([(), ("bicycle",), ("bicycle", "tram", "horse-drawn-carriage")]),
)
@settings(deadline=None, max_examples=60)
def test_no_terminal_cuts_a_figure_or_a_flag(
    width: int, cars: int, line: str, coverage: float, more: tuple[str, ...]
) -> None:
    sent = json.loads(counts(1, cars, line=line).payload)
    for label in more:
        sent["counts"][label] = {"left_to_right": 3, "right_to_left": 4}
    sent |= {"coverage": coverage, "quality": ["clock_unsynced", "synthetic"]}
    table = device_table(status("online"), Message(f"{DEVICE.prefix}/counts/{line}", json.dumps(sent).encode()))
    text = shown(watch_view(table, at(120), "broker", "", connected=True), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert re.search(rf"12:01:00 +{cars} +0 .*{int(coverage * 100)} %", text)
    tail = "".join(re.sub(r"^.* %", "", lined) for lined in text[text.index("12:01:00") :].splitlines())
    assert "clock_unsynced,synthetic" in re.sub(r"\s", "", tail)


def test_totals_of_a_large_road_stay_apart() -> None:
    sent = json.loads(counts(1).payload)
    sent["totals"]["car"] = {"left_to_right": 51270, "right_to_left": 49881}
    table = device_table(meta(), Message(f"{DEVICE.prefix}/counts/north", json.dumps(sent).encode()))
    assert row(shown(demo_view(table, 12, "", 30)), "in all").split()[2:4] == ["51270", "49881"]


def test_unknown_classes_have_a_column_too() -> None:
    other = json.loads(counts(1).payload)
    other["counts"] = {"tram": {"left_to_right": 7, "right_to_left": 0}, "car": other["counts"]["car"]}
    table = device_table(Message(f"{DEVICE.prefix}/counts/north", json.dumps(other).encode()))
    assert table.classes == ("car", "tram")
    assert " 7" in row(shown(devices_view(table, at(0))), "north")


@pytest.mark.parametrize(("n", "height"), [(3, 30), (40, 30), (40, 12)])
def test_the_demo_fits_its_screen(n: int, height: int) -> None:
    table = device_table(status("online"), health(), meta(), *(counts(seq) for seq in range(1, n + 1)))
    lines = shown(demo_view(table, 12, "", height)).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= 80
    assert "> to town   < right to left" in "\n".join(lines)
    assert any(line.startswith(f"{at(60 * n):%H:%M:%S}") for line in lines)


def test_colours_only_on_a_terminal() -> None:
    table = device_table(status("online"))
    assert "\x1b[" in shown(devices_view(table, at(0)), colour=True)
    assert "\x1b[" not in shown(devices_view(table, at(0)))


def test_each_message_is_one_line() -> None:
    table = DeviceTable(PREFIX)
    messages = (status("online"), meta(), health(), counts(1))
    assert [line_text(update) for message in messages if (update := table.add(message))] == [
        "12:00:00 delft/cam-1 is online",
        "         delft/cam-1 describes itself (meta)",
        "12:00:00 delft/cam-1 15.0 frames/s, unsent 0",
        "12:01:00 delft/cam-1 north: car 2> 0<, motorcycle 0> 0<, bus 0> 0<, truck 0> 0<; coverage 1.00",
    ]


@given(st.text())
def test_clean_text_has_no_commands(text: str) -> None:
    assert clean(text).isprintable()


@pytest.mark.parametrize(
    ("seconds", "words"), [(-2, "0 s"), (59.9, "59 s"), (60, "1 min"), (7_200, "2 h"), (200_000, "2 d")]
)
def test_age(seconds: float, words: str) -> None:
    assert age(seconds) == words


def test_watch_names_directions_and_shows_whole_ids() -> None:
    long = "quay-road-at-the-northern-harbour"
    table = device_table(status("online"), meta(), counts(1), counts(1, line=long))
    text = shown(watch_view(table, at(61), "broker", "", connected=True))
    assert "north:  > to town   < right to left" in text
    assert f"{long}:  > left to right" in text
