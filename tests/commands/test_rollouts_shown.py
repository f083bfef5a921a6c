"""Roll-outs in the terminal: nothing that a person has to read, or to type, is cut off at 80 columns."""

from __future__ import annotations

import pytest

from edge_app.commands._rollouts_shown import _show_groups, in_lines
from edge_app.rollout.leading import Rollout
from edge_app.rollout.members import Member
from edge_app.rollout.plan import Cascade
from edge_app.rollout.wanted_detector import WantedDetector

NAME = "ssdlite_mobilenet_v2_300x300-a4901ea67a64"
MEMBERS = [
    *(Member(f"harbour/pole-{number}", 0, "running") for number in range(2)),
    Member("harbour/pole-2", 1, "waiting"),
    Member("harbour/pole-3", 1, "gone"),
]


def test_the_list_has_names_whole_and_reasons_clean() -> None:
    wanted = WantedDetector("detector.fetched", "a4901ea67a64" + 52 * "0")
    one = Rollout(NAME, wanted, {}, Cascade(), "paused", 0, (0.0,), 0.0, "a \x1bholiday", "anna", 0.0)
    name, far, why = in_lines(one, MEMBERS)
    assert name == NAME
    assert far == "  detector a4901ea67a64: paused, group 1 of 2, 2 of 4 devices run it"
    assert "\x1b" not in why
    assert "holiday" in why


def test_groups_tell_their_devices_by_state_in_whole_words(capsys: pytest.CaptureFixture[str]) -> None:
    _show_groups([0.0], MEMBERS)
    heading, first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    assert heading == ["group", "since", "devices", "of", "them"]
    assert first == ["1", "1970-01-01", "00:00", "UTC", "2", "2", "running"]
    assert second == ["2", "-", "2", "1", "waiting,", "1", "gone"]
