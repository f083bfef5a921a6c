"""Roll-outs in the terminal: nothing that a person has to read, or to type, is cut off at 80 columns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.rollouts import change_rollout, find_rollout, put_members
from edge_app.commands._rollouts_shown import _show_groups, in_lines, show_one, waiting_for
from edge_app.rollout.leading import Rollout
from edge_app.rollout.members import Member
from edge_app.rollout.plan import Cascade
from edge_app.rollout.wanted_detector import WantedDetector
from tests.support.fleet_city import add_release_rollout, add_stopped_rollout

NAME = "ssdlite_mobilenet_v2_300x300-a4901ea67a64"
MEMBERS = [
    *(Member(f"harbour/pole-{number}", 0, "running") for number in range(2)),
    Member("harbour/pole-2", 1, "waiting"),
    Member("harbour/pole-3", 1, "gone"),
]
WANTED = WantedDetector("detector.fetched", "a4901ea67a64" + 52 * "0")
BEGUN = Rollout(NAME, WANTED, {}, Cascade(), "running", 0, (0.0,), 0.0, "it has begun", "anna", 0.0)


def test_the_list_has_names_whole_and_reasons_clean() -> None:
    name, far, why = in_lines(replace(BEGUN, state="paused", why="a \x1bholiday"), MEMBERS)
    assert name == NAME
    assert far == "  detector a4901ea67a64: paused, group 1 of 2, 2 of 4 devices run it"
    assert "\x1b" not in why
    assert "holiday" in why


def test_groups_tell_their_devices_by_state_in_whole_words(capsys: pytest.CaptureFixture[str]) -> None:
    _show_groups(BEGUN, MEMBERS)
    heading, first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    assert heading == ["group", "since", "devices", "of", "them"]
    assert first == ["1", "1970-01-01", "00:00", "UTC", "2", "2", "running"]
    assert second == ["2", "-", "2", "1", "waiting,", "1", "gone"]


def test_one_that_runs_says_what_its_group_still_lacks(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with database.begin() as connection:
        add_release_rollout(connection, int(time.time()) - 9000)
        show_one(connection, find_rollout(connection, "next"))
    told = capsys.readouterr().out
    assert "by user anna\n  it has begun\n" in told
    assert "go on: 4 hours of the devices of group 1 were compared." in told
    assert "Group 1 has lasted for 2.5 of 24 hours at least.\nToo little was counted of: all classes." in told
    assert "in all groups" in told


def test_a_group_that_compares_nothing_says_so(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with database.begin() as connection:
        add_release_rollout(connection, int(time.time()) - 9000)
        kept = find_rollout(connection, "next")
        starved = replace(kept.evidence, hours=0, leans="of 2 devices 2 seem to tell a worse output than before")
        assert change_rollout(connection, kept, kept.rollout, [], time.time(), starved)
        show_one(connection, find_rollout(connection, "next"))
    told = capsys.readouterr().out
    assert "No device of group 1 has compared anything, and pairs of other groups let none pass." in told
    assert "Too little was counted" not in told
    assert "More hours are needed: of 2 devices 2 seem to tell a worse output than before." in told


def test_one_that_was_stopped_says_who_never_had_it(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with database.begin() as connection:
        add_stopped_rollout(connection, int(time.time()))
        show_one(connection, find_rollout(connection, "roads-b"))
    told = capsys.readouterr().out
    assert "by the rule\n  of all classes it counts 10.4% fewer" in told
    assert "10 did not get it" in told
    assert "harbour/pole-8: gone back, took it back by itself: frames no longer come" in told
    assert "at least" not in told


def test_what_the_way_back_waits_for_is_told_once_for_all_that_wait_alike() -> None:
    judged = "it is installed, and has to count: it goes back when that is over"
    trying = [replace(one, state="trying", reason=judged) for one in MEMBERS[:2]]
    sent = replace(MEMBERS[2], state="sent", reason="what it had before was sent")
    assert waiting_for([*trying, sent, MEMBERS[3]]) == {
        judged: "harbour/pole-0 and 1 more",
        "what it had before was sent": "harbour/pole-2",
    }


def test_one_that_is_gone_says_since_when(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with database.begin() as connection:
        kept = add_release_rollout(connection, int(time.time()))
        gone = Member("harbour/pole-7", 0, "gone", "not heard of since 2026-12-01T00:00:00Z", changed=1_796_086_800)
        put_members(connection, kept.id, [gone])
        show_one(connection, kept)
    told = capsys.readouterr().out
    assert "harbour/pole-7: gone since 2026-12-01 01:00 UTC, not heard of since 2026-12-01T00:00:00Z" in told


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Yield an empty database of a city."""
    with closing(open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")) as opened:
        yield opened
