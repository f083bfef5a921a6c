"""Output of a candidate is held against the same hours before, and against devices without it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
import pytest

from edge_app.rollout.evidence import Evidence
from edge_app.rollout.output_rule import FIGURES, OutputRule, Usual, shifts, usual_of

HOUR = 3600
DAY = 24 * HOUR
BEGIN = 300 * DAY
SHARES = {"doubtful_share": 0.06, "fragment_share": 0.08, "died_share": 0.35}


def drawn(factors: Mapping[str, float], random: np.random.Generator, vehicles: int = 200) -> dict[str, float]:
    return {
        name: random.binomial(vehicles, share * factors.get(name, 1.0)) / vehicles for name, share in SHARES.items()
    }


def usual(random: np.random.Generator) -> Usual:
    return usual_of({BEGIN - hour * HOUR: drawn({}, random) for hour in range(1, 337)})


def rule(factors: list[Mapping[str, float]], weather: float = 1.0, hours: int = 24) -> OutputRule:
    """Return a rule that has seen devices tell such factors of their usual shares, in a weather that is everywhere."""
    random, made = np.random.default_rng(1), OutputRule()
    names = [f"h/{number}" for number in range(len(factors))]
    others = [f"h/o{number}" for number in range(5)]
    of = {name: usual(random) for name in (*names, *others)}
    for hour in range(hours):
        at = BEGIN + hour * HOUR
        wet = dict.fromkeys(SHARES, weather)
        shifted = shifts(at, {name: drawn(wet, random) for name in others}, of)
        for name, larger in zip(names, factors, strict=True):
            told = drawn({figure: weather * larger.get(figure, 1.0) for figure in SHARES}, random)
            made.add(name, at, told, of[name], shifted)
    return made


@pytest.mark.parametrize(
    ("factors", "told"),
    [
        ({"doubtful_share": 3.0}, r"h/0 1\d% of the crossings are doubtful, and \d% were to be expected"),
        ({"fragment_share": 3.0}, r"h/0 2\d% of the tracks break, and \d% were to be expected"),
        ({"died_share": 2.0}, r"h/0 (69|7\d)% of the tracks die on the road, and 3\d% were to be expected"),
    ],
)
def test_a_worse_output_of_all_stops_it_in_words(factors: Mapping[str, float], told: str) -> None:
    (why,) = rule([factors, factors]).reasons()
    assert why.startswith("of 2 devices 2 tell a worse output than before; ")
    assert re.search(told, why)


@pytest.mark.parametrize("factor", [0.3, 1.0, 1.3])
def test_what_is_alike_or_better_stops_nothing(factor: float) -> None:
    made = rule([dict.fromkeys(SHARES, factor)] * 4)
    assert (made.reasons(), made.leans()) == ((), "")


def test_weather_that_is_everywhere_stops_nothing() -> None:
    assert rule([{}, {}], weather=2.0).reasons() == ()


def test_one_dirty_lens_stops_nothing() -> None:
    made = rule([dict.fromkeys(SHARES, 2.5), {}, {}])
    assert (made.reasons(), made.leans()) == ((), "")


def test_what_seems_to_be_worse_asks_for_more_hours() -> None:
    worse = {"doubtful_share": 3.0}
    made = rule([worse, worse], hours=8)
    assert made.reasons() == ()
    assert made.leans().startswith("of 2 devices 2 seem to tell a worse output than before; h/0 ")


def test_hours_that_nothing_is_held_against_say_nothing() -> None:
    random = np.random.default_rng(2)
    known, made = usual(random), OutputRule()
    for hour in range(48):
        at, told = BEGIN + hour * HOUR, dict.fromkeys(SHARES, 0.9)
        for name in ("h/0", "h/1"):
            made.add(name, at, told, known, shifts(at, {"h/o": told, "h/p": told}, {"h/o": known, "h/p": known}))
            made.add(name, at, told, usual_of({}), dict.fromkeys(SHARES, 0.0))
            made.add(name, at, {}, known, dict.fromkeys(SHARES, 0.0))
    assert (made.reasons(), made.leans()) == ((), "")


def test_days_that_are_too_few_say_not_what_is_usual() -> None:
    few = usual_of({BEGIN - hour * HOUR: SHARES for hour in range(1, 73)})
    assert few.angle("died_share", BEGIN) is None
    more = usual_of({BEGIN - hour * HOUR: SHARES for hour in range(1, 97)})
    assert more.angle("died_share", BEGIN) == more.angle("died_share", BEGIN + 5 * DAY) is not None


def angle(share: float) -> float:
    return math.asin(math.sqrt(share))


def steady(
    share: float, before: float, *, of: int = 2, worse: int = 2, hours: int = 4000, spread: float = 0.05
) -> OutputRule:
    """Return a rule that has seen devices tell a share of doubtful crossings, in units of `spread`.

    before: that is usual. worse: how many of them tell it; the others tell what is usual.
    """
    made, figure = OutputRule(), "doubtful_share"
    known = Usual({(figure, hour): angle(before) for hour in range(24)}, {figure: spread})
    for hour in range(hours):
        for number in range(of):
            told = share if number < worse else before
            made.add(f"h/{number}", BEGIN + hour * HOUR, {figure: told}, known, {figure: 0.0})
    return made


@pytest.mark.parametrize(
    ("before", "share", "stopped"),
    [(0.1, 0.149, False), (0.1, 0.151, True), (0.02, 0.0395, False), (0.02, 0.0405, True)],
)
def test_half_as_many_again_and_two_points_more_are_tolerated(before: float, share: float, stopped: bool) -> None:
    assert bool(steady(share, before).reasons()) == stopped


@pytest.mark.parametrize(
    ("worse", "of", "stopped"),
    [(1, 2, False), (2, 2, True), (3, 10, False), (4, 10, True), (4, 20, False), (5, 20, True)],
)
def test_more_devices_are_worse_than_chance_brings(worse: int, of: int, stopped: bool) -> None:
    assert bool(steady(0.9, 0.1, of=of, worse=worse, hours=24).reasons()) == stopped


@pytest.mark.parametrize("figure", FIGURES)
def test_a_device_is_worse_by_chance_in_five_of_a_hundred_cases_and_seems_so_at_even_odds(figure: str) -> None:
    """Each of the three figures has its third of that."""
    made, evidence, told = OutputRule(), Evidence(), list[tuple[bool, bool]]()
    known = Usual({(figure, hour): angle(0.2) for hour in range(24)}, {figure: 1.0})
    for hour in range(500):
        for name in ("h/0", "h/1"):
            made.add(name, BEGIN + hour * HOUR, {figure: 0.35}, known, {figure: 0.0})
        evidence.add(angle(0.35) - angle(0.3))
        told.append((bool(made.reasons()), bool(made.leans())))
        assert told[-1] == (evidence.strength >= math.log(60), evidence.strength >= math.log(6))
    assert (told[0], told[-1]) == ((False, False), (True, True))


@pytest.mark.parametrize(("others", "known"), [(2, False), (3, True)])
def test_three_devices_without_it_say_how_an_hour_differs(others: int, known: bool) -> None:
    usual_one = Usual({("died_share", hour): angle(0.3) for hour in range(24)}, {"died_share": 0.05})
    names = [f"h/{number}" for number in range(others)]
    told = shifts(BEGIN, {name: {"died_share": 0.4} for name in names}, dict.fromkeys(names, usual_one))
    assert told == ({"died_share": pytest.approx(angle(0.4) - angle(0.3))} if known else {})


@pytest.mark.parametrize(("days", "known"), [(7, False), (8, True)])
def test_48_hours_say_how_much_one_usually_differs(days: int, known: bool) -> None:
    hours = [(hour, 4) for hour in range(1, 11)] + [(11, days)]
    told = usual_of({BEGIN - day * DAY + hour * HOUR: SHARES for hour, many in hours for day in range(1, many + 1)})
    assert (told.angle("died_share", BEGIN + HOUR) is not None) == known


def test_how_much_an_hour_differs_is_robust_and_never_less_than_chance() -> None:
    def spread(apart: float) -> float:
        angles = {BEGIN - hour * HOUR: 0.6 + apart * (hour // 24 % 3 - 1) for hour in range(1, 24 * 12 + 1)}
        return usual_of({at: {"died_share": math.sin(one) ** 2} for at, one in angles.items()}).spread["died_share"]

    assert spread(0.0) == spread(0.03) == 0.05
    assert spread(0.1) == pytest.approx(0.14826)
