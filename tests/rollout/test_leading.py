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


def test_a_pause_is_judged_on_and_taken_back_by_what_stops_it() -> None:
    quiet, _ = paused(rollout(), "anna", "a holiday", 1000.0 + 10 * HOUR)
    stopped, events = led(quiet, TWO, TOLD, Evidence("stop", ("of car it counts 12.0% fewer",)), 2e6)
    assert (stopped.state, [(one.what, one.who) for one in events]) == ("taking_back", [("stopped", "rule")])
    back = [replace(TWO[0], state="back", reason="no frames come"), replace(TWO[1], group=0, state="running")]
    assert led(quiet, back, TOLD, PASS, 2e6)[0].why == "of 2 devices 1 took it back by themselves (h/a); no frames come"
    waits, _ = led(rollout(), TWO, TOLD, Evidence(), 1000.0 + 336 * HOUR)
    assert led(waits, back, TOLD, PASS, 1000.0 + 337 * HOUR)[0].state == "taking_back"


def test_one_device_that_a_person_has_changed_stops_nothing() -> None:
    changed = replace(TWO[0], state="changed", reason="somebody else has changed detector.fetched")
    both = [changed, replace(TWO[1], group=0, state="running")]
    assert led(rollout(), both, TOLD, Evidence(), 2000.0) == (rollout(), ())
    assert led(rollout(), both, TOLD, PASS, 1000.0 + 24 * HOUR)[0].state == "done"


def test_a_group_that_starves_says_so_when_it_waits_for_a_person() -> None:
    now = 1000.0 + 336 * HOUR
    kept = "those that have it keep it until a person decides"
    few = "too few counts to pass or to fail"
    assert led(rollout(), TWO, TOLD, Evidence(hours=9), now)[0].why.endswith(f"{few}; {kept}")
    why = led(rollout(), TWO, TOLD, Evidence(), now)[0].why
    assert why.endswith(f"{few}; none of its devices has compared anything; {kept}")


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


def fleet(*groups: int) -> list[Member]:
    return [Member(f"h/{at}-{n}", at, "running", got=1.0) for at, many in enumerate(groups) for n in range(many)]


def look(members: list[Member], **told: dict[str, str]) -> tuple[Rollout, str]:
    """Return where a roll-out goes whose second group has counted enough. told: field -> device and what it tells."""
    second = replace(rollout(), group=1, begins=(1000.0, 2000.0), since=2000.0)
    known = {
        one.name: Told(online=True, **{name: of[one.name] for name, of in told.items() if one.name in of})  # type: ignore[arg-type]
        for one in members
    }
    after, events = led(second, members, known, PASS, 2000.0 + 30 * HOUR)
    return after, events[0].what


def test_devices_of_earlier_groups_are_watched_until_the_end() -> None:
    slow = "processes 4.0 frames/s, and 15.0 before"
    members = fleet(10, 90, 900)
    after, what = look(members, unwell={f"h/0-{n}": slow for n in range(10)})
    assert (what, after.state, after.group) == ("stopped", "taking_back", 1)
    assert after.why == f"of 10 devices of group 1 10 do worse than before (h/0-0, h/0-1, h/0-2); {slow}"
    after, what = look(members, unwell={"h/0-0": slow})
    assert (what, after.group) == ("group", 2), "one of ten is a tenth"
    back = [replace(one, state="back", reason="no frames come") if one.name < "h/0-2" else one for one in members]
    assert look(back)[0].why.startswith("of 10 devices of group 1 2 took it back by themselves")


def test_groups_are_judged_together_too() -> None:
    gone = [replace(one, state="gone") if one.name in ("h/0-0", "h/1-0") else one for one in fleet(2, 8)]
    after, what = look(gone)
    assert (what, after.why) == ("stopped", "of 10 devices of all groups 2 are gone (h/0-0, h/1-0)"), "no chance"
    more = [Member(f"h/more-{n}", 1, "running") for n in range(10)]
    assert look([*gone, *more])[1] == "done", "two of twenty are a tenth, and one of each group is chance"
