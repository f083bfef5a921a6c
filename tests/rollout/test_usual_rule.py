"""Counts of a release are compared with what is usual, as far as devices without it count that now."""

from __future__ import annotations

import math

import pytest

from edge_app.rollout.evidence import Evidence
from edge_app.rollout.plan import Cascade
from edge_app.rollout.stop_rule import ALL, NIGHT
from edge_app.rollout.usual_rule import Hour, UsualRule, expected, usual_hour

HOUR = 3600
WEEK = 7 * 86_400
BEGIN = 300 * WEEK
OTHERS = {f"h/o{n}": {"car": 400.0, "bus": 4.0} for n in range(4)}


def test_the_usual_hour_is_the_median_of_those_of_the_week_before_it_began() -> None:
    at = BEGIN + 5 * HOUR
    hours = {(at - week * WEEK, "h/a"): {"car": 100.0 + 10 * week} for week in range(6)}
    assert (usual_hour(hours, "h/a", at, BEGIN) or {})["car"] == 125.0
    later = at + WEEK
    assert (usual_hour(hours | {(at, "h/a"): {"car": 0.0}}, "h/a", later, BEGIN) or {})["car"] == 125.0
    assert usual_hour(hours, "h/b", at, BEGIN) is None
    assert usual_hour({(at - WEEK, "h/a"): {"car": 9.0}}, "h/a", at, BEGIN) is None, "one week says too little"
    two = {(at - week * WEEK, "h/a"): {"car": 9.0} for week in (1, 4)}
    assert (usual_hour(two, "h/a", at, BEGIN) or {})["car"] == 9.0


def test_the_usual_hour_is_the_same_one_by_the_clock_on_either_side_of_a_change() -> None:
    """They are set forward or back by an hour before the roll-out, or by half of one: then the nearer hour is taken."""
    at = BEGIN + 5 * HOUR
    for ahead, beside in ((HOUR, HOUR), (-HOUR, -HOUR), (HOUR // 2, 0)):
        weeks = range(1, 5)
        hours = {(at - week * WEEK + off, "h/a"): {"car": 100.0} for week in weeks for off in (-HOUR, 0, HOUR)}
        hours |= {(at - week * WEEK + beside, "h/a"): {"car": 500.0} for week in weeks}
        offset = lambda when, ahead=ahead: ahead if when >= BEGIN - 2 * 86_400 else 0  # noqa: E731
        assert (usual_hour(hours, "h/a", at, BEGIN, offset) or {})["car"] == 500.0
    # The hour a week before the first one is by the clock not over when the roll-out begins.
    first = {(BEGIN - week * WEEK, "h/a"): {"car": 100.0 * week} for week in range(6)}
    assert (usual_hour(first, "h/a", BEGIN, BEGIN) or {})["car"] == 250.0


def test_a_day_on_which_all_count_less_is_no_fault_of_the_release() -> None:
    usual = {**OTHERS, "h/a": {"car": 200.0, "bus": 2.0}}
    rain = {name: {"car": 0.6 * of["car"], "bus": of["bus"]} for name, of in usual.items()}
    counted, known = expected(Hour(rain, usual, {"h/a"}))["h/a"]
    assert (counted, known) == ({"car": 120.0}, {"car": 120.0}), "and buses are too few to say how buses are today"


def test_without_others_nothing_can_be_expected() -> None:
    few = dict(list(OTHERS.items())[:2]) | {"h/a": {"car": 200.0}}
    assert expected(Hour(few, few, {"h/a"})) == {}
    assert expected(Hour(OTHERS, OTHERS, {"h/a"})) == {}


def rule(shares: list[float], hours: int = 24) -> UsualRule:
    """Return a rule that has seen devices count such shares of what was to be expected."""
    made = UsualRule(0.1)
    for hour in range(hours):
        for number, share in enumerate(shares):
            usual = 150.0 + hour % 7
            made.add(f"h/{number}", {"car": share * usual + hour % 3 - 1}, {"car": usual}, night=False)
    return made


def test_all_that_count_a_third_less_stop_it_and_one_street_does_not() -> None:
    found = rule([0.6, 0.62]).evidence(5.0)
    assert found.decision == "stop"
    assert found.reasons[0].startswith(
        "of 2 devices 2 count otherwise than is usual there; h/0 40% fewer of all classes"
    )
    assert rule([1.7, 1.6]).evidence(5.0).decision == "stop"
    assert rule([0.2, 1.0]).evidence(5.0).decision != "stop", "road works are in one street"
    many = rule([0.5, 0.5, *[1.0] * 28])
    assert many.reasons() == (), "two of thirty are no tenth"


def test_next_to_nothing_is_told_within_three_hours() -> None:
    assert rule([0.0, 0.02], hours=2).reasons() == ()
    assert "h/0 next to nothing for 3 hours" in rule([0.0, 0.02], hours=3).reasons()[0]
    assert rule([0.0, 0.3], hours=3).reasons() == ()


def test_equal_counts_pass_and_too_few_wait() -> None:
    passed = rule([1.0, 0.95]).evidence(5.0)
    assert (passed.decision, passed.hours, passed.open) == ("pass", 48, ())
    assert rule([1.0, 1.0], hours=1).evidence(5.0).decision == "wait"
    nothing = UsualRule(0.1).evidence(5.0)
    assert (nothing.decision, nothing.hours) == ("pass", 0)


def test_the_next_group_passes_by_its_own_devices() -> None:
    made = rule([1.0, 1.0])
    made.next_group()
    made.add("h/0", {"car": 150.0}, {"car": 150.0}, night=False, group=0)
    assert made.evidence(5.0).hours == 0
    made.add("h/9", {"car": 150.0}, {"car": 150.0}, night=False, group=1)
    assert (made.evidence(5.0).decision, made.evidence(5.0).hours) == ("wait", 1)


def test_a_detector_that_finds_more_is_not_stopped_by_what_is_usual() -> None:
    def judged(share: float) -> tuple[str, ...]:
        made = UsualRule(0.1, more=False)
        for hour in range(24):
            for name in ("h/0", "h/1"):
                made.add(name, {"car": share * 150.0 + hour % 3 - 1}, {"car": 150.0}, night=False)
        return tuple(made.reasons())

    assert judged(1.7) == ()
    assert judged(0.6)[0].startswith("of 2 devices 2 count otherwise than is usual there; h/0 40% fewer of all classes")


def test_devices_of_an_earlier_group_stop_it_beside_many_others() -> None:
    made = UsualRule(0.1)
    for hour in range(24):
        for number in range(30):
            late = number >= 2
            share = 1.0 if late else 0.5
            made.add(f"h/{number}", {"car": share * 150.0 + hour % 3}, {"car": 151.0}, night=False, group=int(late))
    assert made.reasons()[0].startswith("of 2 devices of group 1 2 count otherwise than is usual there; h/0 50% fewer")


@pytest.mark.parametrize(("others", "known"), [(2, False), (3, True)])
def test_three_devices_without_it_say_how_an_hour_is(others: int, known: bool) -> None:
    few = dict(list(OTHERS.items())[:others]) | {"h/a": {"car": 200.0}}
    assert bool(expected(Hour(few, few, {"h/a"}))) == known


@pytest.mark.parametrize(("buses", "known"), [(19.0, ["car"]), (20.0, ["car", "bus"])])
def test_a_class_is_compared_from_twenty_on_that_are_usual_on_the_others(buses: float, known: list[str]) -> None:
    hour = OTHERS | {name: {"car": 400.0, "bus": buses / 4} for name in OTHERS} | {"h/a": {"car": 200.0, "bus": 50.0}}
    assert [*expected(Hour(hour, hour, {"h/a"}))["h/a"][1]] == known


def steady(counted: float, *, of: str = ALL) -> UsualRule:
    """Return a rule that has seen the same counts of two devices for weeks. counted: of 100 usual vehicles of a class,
    or at night; ten times as many are as usual in other classes, or by day."""
    made = UsualRule(0.1)
    for _ in range(1000):
        for name in ("h/0", "h/1"):
            if of == "bus":
                made.add(name, {"car": 1000.0, of: counted}, {"car": 1000.0, of: 100.0}, night=False)
                continue
            made.add(name, {"car": counted}, {"car": 100.0}, night=of == NIGHT)
            if of == NIGHT:
                made.add(name, {"car": 1000.0}, {"car": 1000.0}, night=False)
    return made


@pytest.mark.parametrize(
    ("of", "counted", "told"),
    [
        (ALL, 76.0, ""),
        (ALL, 74.0, "26% fewer"),
        (ALL, 124.0, ""),
        (ALL, 126.0, "26% more"),
        *((of, counted, told) for of in ("bus", NIGHT) for counted, told in ((51.0, ""), (49.0, "51% fewer"))),
        *((of, counted, told) for of in ("bus", NIGHT) for counted, told in ((149.0, ""), (151.0, "51% more"))),
    ],
)
def test_25_percent_of_all_and_50_of_a_class_or_of_the_night_are_tolerated(of: str, counted: float, told: str) -> None:
    reasons = steady(counted, of=of).reasons()
    assert [f"h/0 {told} of {of} (" in reason for reason in reasons] == [True] * bool(told)


@pytest.mark.parametrize(
    ("of", "counted", "passes"),
    [
        (ALL, 67.0, True),
        (ALL, 66.0, False),
        *((of, counted, passes) for of in ("bus", NIGHT) for counted, passes in ((49.0, True), (48.0, False))),
    ],
)
def test_who_counts_a_third_less_of_all_or_half_of_a_class_or_of_the_night_never_passes(
    of: str, counted: float, passes: bool
) -> None:
    assert steady(counted, of=of).all.open() == [of] * (not passes)


def test_it_is_certain_as_evidence_has_it_in_standard_deviations_of_15_percent_and_chance() -> None:
    made, evidence, told = UsualRule(0.1), Evidence(), list[bool]()
    for _ in range(100):
        for name in ("h/0", "h/1"):
            made.add(name, {"car": 60.0}, {"car": 100.0}, night=False)
        evidence.add((40.0 - 25.0) / math.sqrt(100 + 15**2))
        told.append(bool(made.reasons()))
        assert told[-1] == (evidence.strength >= math.log(100))
    assert any(told)
    assert not told[0]


@pytest.mark.parametrize(
    ("counted", "usual", "told"), [(4.9, 100.0, True), (5.0, 100.0, False), (0.0, 33.3, False), (0.0, 33.4, True)]
)
def test_next_to_nothing_is_less_than_a_twentieth_of_at_least_a_hundred(
    counted: float, usual: float, told: bool
) -> None:
    made = UsualRule(0.1)
    for _ in range(3):
        for name in ("h/0", "h/1"):
            made.add(name, {"car": counted}, {"car": usual}, night=False)
    assert bool(made.reasons()) == told


@pytest.mark.parametrize(("odd", "of", "stopped"), [(1, 2, False), (2, 19, True), (2, 20, False), (3, 20, True)])
def test_more_than_a_tenth_and_more_than_one_stop_it(odd: int, of: int, stopped: bool) -> None:
    made = UsualRule(Cascade().failed)
    for _ in range(3):
        for number in range(of):
            made.add(f"h/{number}", {"car": 0.0 if number < odd else 100.0}, {"car": 100.0}, night=False)
    assert bool(made.reasons()) == stopped
