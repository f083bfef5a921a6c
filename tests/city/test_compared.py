"""Comparisons of a candidate: read from a file as a subscriber writes it, and judged from the command line."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge_app.city.compared import Collected, is_night
from edge_app.cli import main
from edge_app.errors import ConfigError
from edge_app.mqtt.examples import EXAMPLES
from edge_app.rollout.stop_rule import ALL, NIGHT

START = datetime(2026, 11, 29, tzinfo=timezone.utc)
NEW, OLD, OTHER = "9d03c1f5a2b8", "e5f5da65719a", "0c9e00000000"
UTC = ZoneInfo("UTC")


def message(hour: int, candidate: int, before: int, **changed: object) -> str:
    """Return an interval of an hour of cars, from left to right."""
    start = START + timedelta(hours=hour)
    one = EXAMPLES["shadow"] | {"id": f"{hour}", "start": start.isoformat(), "end": f"{start + timedelta(minutes=1)}"}
    one["counts"] = {"car": {"left_to_right": candidate, "right_to_left": 0}}
    one["in_service"] = one["in_service"] | {"counts": {"car": {"left_to_right": before, "right_to_left": 0}}}
    return json.dumps(one | changed)


def test_lines_with_and_without_their_topic_are_read_and_repeated_ones_count_once() -> None:
    collected = Collected()
    collected.add([message(0, 3, 4), f"traffic/v1/harbour/pole-7/shadow/quay-road {message(0, 3, 4)}\n", "\n"])
    collected.add([message(1, 5, 5), "no message", "{}", message(2, 5, 5)[:-3]])
    assert collected.unread == 3
    rule = collected.of().rule(UTC)
    assert (rule.hours, rule.of[ALL].candidate, rule.of[ALL].before) == (2, 8, 9)


def test_lines_of_a_device_and_hour_are_added_up() -> None:
    collected = Collected()
    collected.add([message(0, 3, 4), message(0, 1, 1, id="x", line="b"), message(0, 1, 1, id="y", device="pole-8")])
    assert sorted(collected.of().hours.values(), key=str) == [({"car": 1}, {"car": 1}), ({"car": 4}, {"car": 5})]


def test_night_is_that_of_the_place() -> None:
    collected = Collected()
    collected.add([message(12, 7, 7)])
    assert collected.of().rule(UTC).of[NIGHT].before == 0
    assert collected.of().rule(ZoneInfo("Asia/Tokyo")).of[NIGHT].before == 7


@pytest.mark.parametrize(("hour", "night"), [(5, True), (6, False), (20, False), (21, True)])
def test_it_is_night_from_nine_to_six(hour: int, night: bool) -> None:
    assert is_night(int((START + timedelta(hours=hour)).timestamp()), UTC) == night


def swapped(hour: int, candidate: int, before: int, former: str = OLD, **changed: object) -> str:
    """Return an interval of a device with the candidate in service, the one of before beside it."""
    one = json.loads(message(hour, before, candidate, id=f"s{hour}", model=former, **changed))
    return json.dumps(one | {"in_service": one["in_service"] | {"model": NEW}})


def test_of_a_roll_out_a_person_names_the_candidate_that_is_in_service() -> None:
    collected = Collected()
    collected.add([swapped(0, 7, 10), swapped(1, 70, 100)])
    compared = collected.of(NEW)
    assert (compared.candidate, compared.before, compared.others) == (NEW, OLD, 0)
    assert (sorted(compared.beside), sorted(compared.in_service)) == ([], ["harbour/pole-7"])
    assert [*compared.hours.values()] == [({"car": 7}, {"car": 10}), ({"car": 70}, {"car": 100})]
    assert collected.of().candidate == OLD, "no message says which of the two it is"


def test_a_trial_beside_and_a_roll_out_of_the_same_candidate_are_judged_together() -> None:
    collected = Collected()
    collected.add([message(0, 3, 4), swapped(0, 6, 8), swapped(1, 1, 2, device="pole-8")])
    compared = collected.of(f"{NEW}{'0' * 52}")
    assert compared.hours == {
        ("harbour/pole-7", int(START.timestamp()) // 3600): ({"car": 9}, {"car": 12}),
        ("harbour/pole-8", int(START.timestamp()) // 3600 + 1): ({"car": 1}, {"car": 2}),
    }
    with pytest.raises(ConfigError, match=f"{NEW} beside {OLD} in service.*name the candidate with --candidate"):
        collected.of()


def test_devices_with_other_detectors_in_service_are_never_mixed() -> None:
    collected = Collected()
    other = json.loads(message(0, 1, 1, id="x", device="pole-8"))
    collected.add([message(0, 3, 4), json.dumps(other | {"in_service": other["in_service"] | {"model": OTHER}})])
    with pytest.raises(ConfigError, match=f"{NEW} beside {OTHER} in service .devices: 1.; {NEW} beside {OLD}"):
        collected.of()
    with pytest.raises(ConfigError, match=f"more than one detector that was .* {OTHER}, {OLD}.*--before HASH"):
        collected.of("9d03")
    compared = collected.of("9d03", "E5")
    assert ([*compared.hours.values()], compared.others) == ([({"car": 3}, {"car": 4})], 1)
    with pytest.raises(ConfigError, match="--before 77: no detector that was compared with 9d03c1f5a2b8 begins so"):
        collected.of("9d03", "77")


def test_no_comparison_an_unknown_candidate_and_a_detector_beside_itself_are_refused() -> None:
    collected = Collected()
    collected.add([message(0, 1, 1, model=OLD)])
    assert collected.unread == 1
    with pytest.raises(ConfigError, match="there is no comparison"):
        collected.of()
    collected.add([message(0, 1, 1), message(1, 1, 1, model="9d0400000000")])
    with pytest.raises(ConfigError, match=f"--candidate {OTHER}: no detector begins so; there are: 9d03"):
        collected.of(OTHER)
    with pytest.raises(ConfigError, match="more than one detector begins with 9d: 9d03c1f5a2b8, 9d0400000000"):
        collected.of("9d")


def test_the_command_names_both_detectors_and_the_one_in_service_can_be_the_candidate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shadow.jsonl"
    file.write_text("".join(swapped(hour, 70 + hour % 3, 100 + hour % 2) + "\n" for hour in range(48)))
    assert main(["fleet", "judge", str(file)]) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"candidate {OLD} beside {NEW} in service\n")
    assert f"If {NEW} is the candidate, as in a roll-out, add --candidate {NEW}." in told
    assert main(["fleet", "judge", str(file), "--candidate", NEW]) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"candidate {NEW} in service, {OLD} beside it\n")
    assert "stop: of all classes it counts 29.4% fewer" in told
    file.write_text("".join(message(hour, 99 + hour % 3, 100) + "\n" for hour in range(48)) + swapped(0, 1, 1, OTHER))
    assert main(["fleet", "judge", str(file)]) == 2
    assert "several detectors" in capsys.readouterr().err
    assert main(["fleet", "judge", str(file), "--candidate", NEW, "--before", OLD]) == 0
    assert "1 intervals of other detectors were left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "code", "told"),
    [(100, 0, "pass"), (80, 1, "stop: of all classes it counts 19.4% fewer"), (None, 1, "wait")],
)
def test_the_command_says_what_is_to_be_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], found: int | None, code: int, told: str
) -> None:
    hours = 48 if found else 1
    text = "".join(
        message(hour, (found or 1) + hour % 3, (100 if found else 1) + hour % 2) + "\n" for hour in range(hours)
    )
    (tmp_path / "shadow.jsonl").write_text(text)
    assert main(["fleet", "judge", str(tmp_path / "shadow.jsonl")]) == code
    assert told in capsys.readouterr().out


def test_what_cannot_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "judge", str(tmp_path / "none.jsonl")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    (tmp_path / "a").write_text(message(0, 1, 1))
    assert main(["fleet", "judge", str(tmp_path / "a"), "--time-zone", "Nowhere"]) == 2
