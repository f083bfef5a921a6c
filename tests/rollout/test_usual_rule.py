"""Counts of a release are compared with what is usual, as far as devices without it count that now."""

from __future__ import annotations

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
