"""A roll-out goes through its groups by the rule, and people pause it, let it go on and take it back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_app.errors import ConfigError
from edge_app.rollout.leading import Evidence, Rollout, aim_of, begun, evidence_of, gone_on, led, paused, taken_back
from edge_app.rollout.members import Member, Told
from edge_app.rollout.plan import Cascade
from edge_app.rollout.stop_rule import StopRule
from edge_app.rollout.wanted_detector import WantedDetector

HOUR = 3600.0
WANTED = WantedDetector("detector.fetched", "c" * 64)
TWO = [Member("h/a", 0, "running"), Member("h/b", 1)]
TOLD = {one.name: Told(online=True, layer={WANTED.key: WANTED.candidate}) for one in TWO}
PASS = Evidence("pass")


def rollout() -> Rollout:
    return begun("new", WANTED, {"url": "https://x/y.zip"}, Cascade(), "anna", 1000.0)


def test_groups_follow_one_another_to_the_end() -> None:
    assert led(rollout(), TWO, TOLD, PASS, 1000.0 + 23 * HOUR) == (rollout(), ())
    now = 1000.0 + 24 * HOUR
    second, events = led(rollout(), TWO, TOLD, PASS, now)
    assert (second.group, second.since, second.begins) == (1, now, (1000.0, now))
    assert [(one.what, one.who) for one in events] == [("group", "rule")]
    both = [replace(one, state="running") for one in TWO]
    done, events = led(second, both, TOLD, PASS, now + 24 * HOUR)
    assert (done.state, [one.what for one in events]) == ("done", ["done"])
    assert aim_of(done, both[0]) == "settled"


def test_what_is_stopped_is_taken_back_and_says_why() -> None:
    stopped, events = led(rollout(), TWO, TOLD, Evidence("stop", ("of car it counts 12.0% fewer",)), 2000.0)
    assert (stopped.state, stopped.why) == ("taking_back", "of car it counts 12.0% fewer")
    assert [(one.what, one.who) for one in events] == [("stopped", "rule")]
    assert aim_of(stopped, TWO[0]) == "former"
    assert led(stopped, TWO, TOLD, PASS, 2001.0) == (stopped, ())
    back = [replace(TWO[0], state="returned"), TWO[1]]
    over, events = led(stopped, back, {}, PASS, 2002.0)
    assert (over.state, [one.what for one in events]) == ("taken_back", ["taken_back"])
    assert over.why.startswith("of car it counts 12.0% fewer; every device has")


def test_a_pause_counts_up_to_the_shortest_time_of_a_group() -> None:
    quiet, _ = paused(rollout(), "anna", "a holiday", 1000.0 + 10 * HOUR)
    assert (quiet.state, quiet.why, aim_of(quiet, TWO[0])) == ("paused", "a holiday", "wait")
    assert led(quiet, TWO, TOLD, PASS, 1e9) == (quiet, ())
    on, _ = gone_on(quiet, "anna", "", 1000.0 + 90 * HOUR)
    assert on.since == 1000.0 + 80 * HOUR
    too_long, events = led(rollout(), TWO, TOLD, Evidence(), 1000.0 + 336 * HOUR)
    assert (too_long.state, events[0].what) == ("paused", "paused")
    again, _ = gone_on(too_long, "anna", "", 1000.0 + 400 * HOUR)
    assert led(again, TWO, TOLD, Evidence(), 1000.0 + 401 * HOUR)[0].state == "running"


def test_people_are_told_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match="new: is running; only one that is paused can go on"):
        gone_on(rollout(), "anna", "", 2000.0)
    back, _ = taken_back(rollout(), "anna", "", 2000.0)
    with pytest.raises(ConfigError, match="new: is being taken back already"):
        taken_back(back, "anna", "", 2001.0)
    with pytest.raises(ConfigError, match="nothing to pause"):
        paused(back, "anna", "", 2001.0)


def test_later_groups_wait() -> None:
    assert [aim_of(rollout(), one) for one in TWO] == ["candidate", "wait"]


def test_evidence_tells_sums_and_what_is_open() -> None:
    rule = StopRule()
    for hour in range(3):
        rule.add({"car": 200.0 + hour}, {"car": 201.0})
    found = evidence_of(rule, 5.0)
    assert (found.decision, found.hours, found.sums["car"]) == ("wait", 3, [603.0, 603.0])
    assert "all classes" in found.open
