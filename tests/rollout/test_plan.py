"""Groups of a roll-out, and how it goes from one to the next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_app.rollout.plan import Cascade, Progress, Seen, advance, groups
from edge_app.rollout.stop_rule import Decision

DEVICES = [f"harbour/pole-{n}" for n in range(1000)]
HOUR = 3600.0
FINE = Seen("pass", running=DEVICES[:10])
CERTAIN = ("back", "refused", "failed", "lost", "unwell")
TROUBLES = (*CERTAIN, "gone", "drifted")


def test_one_percent_then_ten_then_all() -> None:
    parts = groups(DEVICES, "0c9e77a1")
    assert [len(part) for part in parts] == [10, 90, 900]
    assert sorted(name for part in parts for name in part) == sorted(DEVICES)
    assert groups(reversed(DEVICES), "0c9e77a1") == parts  # type: ignore[arg-type]


def test_another_candidate_begins_elsewhere() -> None:
    assert groups(DEVICES, "a")[0] != groups(DEVICES, "b")[0]


def test_chosen_devices_are_in_the_first_group() -> None:
    chosen = [DEVICES[7], DEVICES[70], DEVICES[700], "elsewhere"]
    few = groups(DEVICES[:100], "a", first=chosen[:1])
    assert len(few[0]) == 2
    assert few[0][0] == chosen[0]
    many = groups(DEVICES, "a", first=DEVICES[:30])
    assert {*many[0]} == {*DEVICES[:30]}  # more than the share of the first group
    assert len(groups(DEVICES[:100], "a", first=chosen)[0]) == 2  # one is not of this fleet, one is further on
    assert sorted(one for part in many for one in part) == sorted(DEVICES)


def test_a_small_fleet_has_fewer_groups_and_none_is_empty() -> None:
    assert [len(part) for part in groups(DEVICES[:20], "a")] == [2, 18]
    assert [len(part) for part in groups(DEVICES[:1], "a")] == [1]
    assert groups([], "a") == []


def test_a_group_that_passes_lets_the_next_one_begin_after_its_hours() -> None:
    begun = Progress(since=0.0)
    assert advance(begun, FINE, 3, 23.9 * HOUR) == begun
    second = advance(begun, FINE, 3, 24 * HOUR)
    assert (second.state, second.group, second.since) == ("running", 1, 24 * HOUR)
    last = replace(second, group=2)
    assert advance(last, FINE, 3, 48 * HOUR).state == "done"


def test_counts_stop_at_once_and_say_why() -> None:
    stopped = advance(Progress(), Seen("stop", ["of car it counts 12.0% fewer"]), 3, HOUR)
    assert (stopped.state, stopped.why) == ("stopped", "of car it counts 12.0% fewer")
    assert advance(stopped, FINE, 3, 99 * HOUR) == stopped


def test_too_few_counts_wait_for_a_person() -> None:
    waiting = Seen("wait", running=DEVICES[:10])
    assert advance(Progress(), waiting, 3, 335 * HOUR).state == "running"
    paused = advance(Progress(), waiting, 3, 336 * HOUR)
    assert (paused.state, paused.why) == ("paused", "after 336 hours group 1 has too few counts to pass or to fail")


def test_devices_that_take_it_back_stop_it() -> None:
    many = Seen("wait", running=DEVICES[:98], back={DEVICES[98]: "no frames come", DEVICES[99]: "no frames come"})
    assert advance(Progress(), many, 3, HOUR).state == "running"
    few = replace(many, running=DEVICES[:8])
    stopped = advance(Progress(), few, 3, HOUR)
    assert stopped.state == "stopped"
    assert "2 took it back by themselves" in stopped.why
    assert "no frames come" in stopped.why


def test_who_went_back_who_refuses_it_and_who_could_not_get_it_are_told_apart() -> None:
    one, two, three, four = DEVICES[:4]
    seen = Seen(
        "wait", running=[four], back={one: "no frames"}, refused={two: "no such key"}, failed={three: "no room"}
    )
    told = f"1 took it back by themselves ({one}), 1 refuse it ({two}), 1 could not get it ({three})"
    assert advance(Progress(), seen, 3, HOUR).why == f"of 4 devices {told}; no frames; no room"
    assert advance(Progress(), replace(seen, back={}), 3, HOUR, earlier=[FINE]).state == "stopped", "each is no chance"


def test_a_pause_does_not_keep_what_stops_it() -> None:
    paused = Progress("paused", since=0.0, why="a holiday")
    assert advance(paused, FINE, 3, 999 * HOUR) == paused
    back = replace(FINE, running=DEVICES[:1], back={DEVICES[1]: "no frames come"})
    assert advance(paused, back, 3, HOUR).state == "stopped"
    assert advance(paused, Seen("stop", ["of car it counts 12.0% fewer"]), 3, HOUR).why.startswith("of car")
    assert advance(Progress("done"), back, 3, HOUR).state == "done"


def test_the_first_one_to_answer_does_not_stop_a_group_that_is_still_on_trial() -> None:
    first = Seen("wait", refused={DEVICES[0]: "no such key"}, open=DEVICES[1:90])
    assert advance(Progress(), first, 3, HOUR).state == "running"
    nine = replace(first, refused=dict.fromkeys(DEVICES[:9], "no such key"), open=DEVICES[9:90])
    assert advance(Progress(), nine, 3, HOUR).state == "running"
    ten = replace(first, refused=dict.fromkeys(DEVICES[:10], "no such key"), open=DEVICES[10:90])
    assert advance(Progress(), ten, 3, HOUR).why.startswith("of 90 devices 10 refuse it")
    pair = replace(first, open=DEVICES[1:2])
    assert advance(Progress(), pair, 3, HOUR).state == "stopped", "one of two"
    dead = Seen("wait", running=DEVICES[:40], gone=DEVICES[40:50], lost=DEVICES[40:50], open=DEVICES[50:900])
    assert advance(Progress(), dead, 3, HOUR).state == "stopped", "of those that have it; the others shall not get it"


def test_one_device_that_is_gone_is_chance_and_one_that_went_back_is_not() -> None:
    assert advance(Progress(), Seen("wait", running=DEVICES[:1], gone=DEVICES[1:2]), 2, HOUR).state == "running"
    assert advance(Progress(), Seen("wait", running=DEVICES[:1], back={DEVICES[1]: ""}), 2, HOUR).state == "stopped"


def test_one_that_never_comes_back_from_the_change_or_does_worse_is_no_chance() -> None:
    lost = Seen("wait", running=DEVICES[:1], gone=DEVICES[1:2], lost=DEVICES[1:2])
    stopped = advance(Progress(), lost, 2, HOUR)
    assert (stopped.state, stopped.why) == (
        "stopped",
        f"of 2 devices 1 have not come back since ({DEVICES[1]})",
    )
    slow = Seen("pass", running=DEVICES[:2], unwell={DEVICES[0]: "processes 7.0 frames/s, and 15.0 before"})
    stopped = advance(Progress(), slow, 2, 30 * HOUR)
    assert stopped.state == "stopped"
    assert stopped.why.endswith("processes 7.0 frames/s, and 15.0 before")
    many = replace(slow, running=DEVICES[:10])
    assert advance(Progress(), many, 2, HOUR).state == "running"


def test_a_group_whose_devices_do_not_have_it_yet_has_not_passed() -> None:
    late = Seen("pass", running=DEVICES[:5], open=DEVICES[5:10])
    assert advance(Progress(), late, 3, 30 * HOUR).state == "running"
    assert advance(Progress(), replace(late, open=DEVICES[5:9]), 3, 30 * HOUR).group == 1
    waits = advance(Progress(), late, 3, 336 * HOUR)
    assert waits.why == "after 336 hours group 1 has too few devices that have it to pass or to fail"


def test_nobody_runs_it_so_nothing_has_passed() -> None:
    assert advance(Progress(), Seen("pass"), 3, 100 * HOUR).state == "running"


def test_a_cascade_of_its_own() -> None:
    cascade = Cascade(shares=(0.5, 1.0), least=1, hours=1.0)
    assert [len(part) for part in groups(DEVICES[:4], "a", cascade)] == [2, 2]
    assert advance(Progress(), FINE, 2, HOUR, cascade).group == 1


def in_trouble(what: str, troubled: int, of: int) -> Seen:
    """Return a group of so many devices, of which some are in trouble of one kind."""
    ill, well = DEVICES[:troubled], DEVICES[troubled:of]
    return {
        "back": Seen("wait", running=well, back=dict.fromkeys(ill, "")),
        "refused": Seen("wait", running=well, refused=dict.fromkeys(ill, "")),
        "failed": Seen("wait", running=well, failed=dict.fromkeys(ill, "")),
        "gone": Seen("wait", running=well, gone=ill),
        "lost": Seen("wait", running=well, gone=ill, lost=ill),
        "drifted": Seen("wait", running=DEVICES[:of], drifted=ill),
        "unwell": Seen("wait", running=DEVICES[:of], unwell=dict.fromkeys(ill, "")),
    }[what]


@pytest.mark.parametrize(
    ("what", "troubled", "of", "state"),
    [
        *((what, 10, 100, "running") for what in TROUBLES),
        *((what, 11, 100, "stopped") for what in TROUBLES),
        *((what, 1, 10, "running") for what in CERTAIN),
        *((what, 1, 9, "stopped") for what in CERTAIN),
        *((what, 1, 2, "running") for what in ("gone", "drifted")),
        *((what, 2, 20, "running") for what in ("gone", "drifted")),
        *((what, 2, 19, "stopped") for what in ("gone", "drifted")),
    ],
)
def test_more_than_a_tenth_of_a_group_in_trouble_stop_it(what: str, troubled: int, of: int, state: str) -> None:
    assert advance(Progress(), in_trouble(what, troubled, of), 3, HOUR).state == state


@pytest.mark.parametrize(
    ("what", "troubled", "had", "state"),
    [
        *((what, 1, 10, "running") for what in ("lost", "unwell")),
        *((what, 1, 9, "stopped") for what in ("lost", "unwell")),
        *((what, 2, 20, "running") for what in ("gone", "drifted")),
        *((what, 2, 19, "stopped") for what in ("gone", "drifted")),
        ("refused", 9, 9, "running"),
    ],
)
def test_trouble_after_it_is_a_share_of_those_that_have_it_and_not_of_those_still_to_get_it(
    what: str, troubled: int, had: int, state: str
) -> None:
    found = in_trouble(what, troubled, had)
    assert advance(Progress(), replace(found, open=DEVICES[had : 10 * had]), 3, HOUR).state == state


def test_troubles_of_several_kinds_add_up() -> None:
    """One of ten that went back is no more than a tenth, and one that is gone is chance; both are two of ten."""
    both = Seen("wait", running=DEVICES[2:10], back={DEVICES[0]: ""}, gone=DEVICES[1:2])
    assert advance(Progress(), both, 3, HOUR).state == "stopped"
    assert advance(Progress(), replace(both, running=DEVICES[2:20]), 3, HOUR).state == "running"


@pytest.mark.parametrize(("gone", "state"), [(0, "running"), (1, "stopped")])
def test_devices_of_all_groups_in_trouble_stop_it_together(gone: int, state: str) -> None:
    """One of five that is gone is chance in each group; two of ten are none."""
    first = Seen("pass", running=DEVICES[1:5], gone=DEVICES[:1])
    present = Seen("wait", running=DEVICES[5 + gone : 10], gone=DEVICES[5 : 5 + gone])
    assert advance(Progress(group=1), present, 3, HOUR, earlier=[first]).state == state


@pytest.mark.parametrize(("devices", "sizes"), [(100, [2, 8, 90]), (201, [3, 18, 180]), (1000, [10, 90, 900])])
def test_groups_are_1_and_10_percent_and_two_devices_at_least(devices: int, sizes: list[int]) -> None:
    assert [len(part) for part in groups(DEVICES[:devices], "a")] == sizes


@pytest.mark.parametrize("counts", ["wait", "pass"])
def test_after_fourteen_days_a_person_is_asked(counts: Decision) -> None:
    late = Seen(counts, running=DEVICES[:5], open=DEVICES[5:10])
    assert advance(Progress(), late, 3, 336 * HOUR - 1).state == "running"
    assert advance(Progress(), late, 3, 336 * HOUR).state == "paused"


def test_a_group_lasts_for_24_hours() -> None:
    assert advance(Progress(), FINE, 3, 24 * HOUR - 1).group == 0
    assert advance(Progress(), FINE, 3, 24 * HOUR).group == 1
