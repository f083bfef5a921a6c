"""Output of a candidate is held against the same hours before, and against devices without it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pytest

from edge_app.rollout.output_rule import OutputRule, Usual, shifts, usual_of

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
