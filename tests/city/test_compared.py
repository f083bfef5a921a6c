"""Comparisons of a candidate: read from a file as a subscriber writes it, and judged from the command line."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge_app.city.compared import Collected
from edge_app.cli import main
from edge_app.errors import ConfigError
from edge_app.mqtt.examples import EXAMPLES
from edge_app.rollout.stop_rule import ALL, NIGHT

START = datetime(2026, 11, 29, tzinfo=timezone.utc)


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
    rule = collected.rule(ZoneInfo("UTC"))
    assert (rule.hours, rule.of[ALL].candidate, rule.of[ALL].before) == (2, 8, 9)


def test_lines_of_a_device_and_hour_are_added_up() -> None:
    collected = Collected()
    collected.add([message(0, 3, 4), message(0, 1, 1, id="x", line="b"), message(0, 1, 1, id="y", device="pole-8")])
    assert sorted(collected.hours.values(), key=str) == [({"car": 1}, {"car": 1}), ({"car": 4}, {"car": 5})]


def test_night_is_that_of_the_place() -> None:
    collected = Collected()
    collected.add([message(12, 7, 7)])
    assert collected.rule(ZoneInfo("UTC")).of[NIGHT].before == 0
    assert collected.rule(ZoneInfo("Asia/Tokyo")).of[NIGHT].before == 7


def test_two_candidates_or_none_are_not_judged() -> None:
    collected = Collected()
    with pytest.raises(ConfigError, match="those of none"):
        collected.rule(ZoneInfo("UTC"))
    collected.add([message(0, 1, 1), message(1, 1, 1, model="0" * 12)])
    with pytest.raises(ConfigError, match="one candidate"):
        collected.rule(ZoneInfo("UTC"))


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
