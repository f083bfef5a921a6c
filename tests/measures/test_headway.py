"""Test which headways are told, of whom, and when."""

from __future__ import annotations

from collections import Counter

import pytest

from edge_app.measures.headway import ABOVE, ANY, CONFIRMED_S, Front, Headways, bin_of


@pytest.mark.parametrize(
    ("headway", "name"), [(0.4, "1"), (1.0, "1"), (1.01, "2"), (3.5, "5"), (10.0, "10"), (29.9, "30"), (30.1, ABOVE)]
)
def test_an_upper_edge_belongs_to_its_bin(headway: float, name: str) -> None:
    assert bin_of(headway) == name


def told(fronts: list[Front], unseen: list[float] | None = None) -> Headways:
    headways = Headways()
    for at in unseen or ():
        headways.unseen(at)
    for front in fronts:
        headways.cross(front)
    headways.go_on(max(front.at for front in fronts) + CONFIRMED_S)
    return headways


def test_each_lane_has_its_own_followers_in_the_order_of_the_line() -> None:
    fronts = [Front(12.5, 1, 12.7), Front(10.0, 1, 10.2), Front(11.0, 2, 11.2), Front(17.0, 2, 17.2)]
    assert told(fronts).take(100) == {1: Counter({"3": 1}), 2: Counter({"10": 1})}


def test_a_headway_belongs_to_the_interval_of_its_follower_and_is_taken_once() -> None:
    headways = told([Front(59.5, 1, 59.7), Front(60.5, 1, 60.7), Front(62.0, 1, 62.2)])
    assert headways.take(60) == {}
    assert headways.take(61) == {1: Counter({"1": 1})}
    assert headways.take(120) == {1: Counter({"2": 1})}
    assert headways.take(180) == {}


def test_none_is_told_across_unseen_time() -> None:
    fronts = [Front(at, 1, at) for at in (10.0, 12.0, 14.0)]
    assert told(fronts, unseen=[11.0]).take(100) == {1: Counter({"2": 1})}
    assert told(fronts, unseen=[9.0, 10.0, 14.5]).take(100) == {1: Counter({"2": 2})}


def test_none_is_told_to_or_from_a_vehicle_whose_front_is_not_known() -> None:
    fronts = [Front(10.0, 1, 10.0), Front(12.0, ANY, 12.0), Front(14.0, 1, 14.0), Front(16.0, 1, 16.0)]
    assert told(fronts).take(100) == {1: Counter({"2": 1})}


def test_nothing_is_certain_before_a_late_crossing_could_come() -> None:
    headways = Headways()
    headways.cross(Front(10.0, 1, 10.0))
    headways.cross(Front(14.0, 1, 14.0))
    headways.go_on(14.5)
    headways.cross(Front(12.0, 1, 12.0))
    headways.go_on(14.0 + CONFIRMED_S)
    assert headways.take(100) == {1: Counter({"2": 2})}


def test_memory_does_not_grow_with_what_is_unseen() -> None:
    headways = Headways()
    for second in range(10_000):
        headways.unseen(float(second))
        headways.go_on(float(second))
    assert len(headways._breaks) < 20
