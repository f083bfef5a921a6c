"""Devices that stray: one is a street, too many are what they were given."""

from __future__ import annotations

from functools import partial

from edge_app.rollout.strays import least_above, least_by_chance, too_many


def test_more_than_a_share_and_more_than_one_are_too_many() -> None:
    assert [least_above(devices, 0.1) for devices in (1, 2, 19, 20, 100)] == [2, 2, 2, 3, 11]


def test_as_many_as_chance_hardly_ever_brings_are_too_many() -> None:
    """Of two at 5 % each both stray in 0.25 % of all cases; of ten three or more in 1.15 %, four or more in 0.1 %."""
    assert [least_by_chance(devices, 0.05, 0.005) for devices in (1, 2, 3, 10, 30)] == [2, 2, 3, 4, 6]
    assert least_by_chance(10, 0.05, 0.0116) == 3


def test_groups_are_judged_each_and_together() -> None:
    groups = {f"h/{number}": int(number >= 2) for number in range(12)}
    told = partial(too_many, least=partial(least_above, share=0.1), words="stray")
    assert told({"h/0": "is odd"}, groups) == ()
    assert told({"h/0": "is odd", "h/5": "too"}, groups) == ("of 12 devices 2 stray; h/0 is odd; h/5 too",)
    many = groups | {f"h/more-{number}": 2 for number in range(30)}
    assert told({"h/0": "is odd", "h/5": "too"}, many) == ()
    assert told({"h/0": "is odd", "h/1": "too"}, many) == ("of 2 devices of group 1 2 stray; h/0 is odd; h/1 too",)
