"""Numbers of a series: what is missing, and sums that fit to totals, in whatever order they come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_app.city.numbers import Numbers, Range, sum_of
from edge_app.city.records import NONE, Vector, added
from tests.city.cases import series, vector


@given(st.permutations(range(12)), st.integers(0, 12))
def test_the_order_of_arrival_does_not_matter(order: list[int], came: int) -> None:
    intervals = series(12)
    numbers = Numbers()
    for at in order[:came]:
        assert numbers.add(intervals[at].seq, intervals[at].counts, intervals[at].totals)
    present = {intervals[at].seq for at in order[:came]}
    missing = {seq for first, last in numbers.gaps(12) for seq in range(first, last + 1)}
    assert missing == set(range(1, 13)) - present
    assert all((seq in numbers) == (seq in present) for seq in range(1, 13))
    total: Vector = NONE
    for at in order[:came]:
        total = added(total, intervals[at].counts)
    assert sum_of(numbers.ranges) == total


@given(st.permutations(range(6)), st.integers(0, 5), st.sampled_from([-3, -1, 1, 4]))
def test_a_count_that_is_not_in_the_totals_is_found_once_all_have_come(order: list[int], wrong: int, by: int) -> None:
    intervals = series(6, cars=5)
    numbers = Numbers()
    fits = []
    for at in order:
        interval = intervals[at]
        counts = added(interval.counts, vector(by)) if at == wrong else interval.counts
        fits.append(numbers.add(interval.seq, counts, interval.totals))
    assert not all(fits)


def test_totals_that_fall_do_not_fit_although_numbers_are_missing_between() -> None:
    numbers = Numbers([Range(1, 5, NONE, vector(40))])
    assert numbers.add(9, vector(1), vector(60))
    assert not numbers.add(7, vector(1), vector(30))


def test_the_first_number_begins_at_nothing() -> None:
    assert Numbers().add(1, vector(3), vector(3))
    assert not Numbers().add(1, vector(3), vector(4))
    assert Numbers().add(2, vector(3), vector(4))


def test_what_health_tells_of_is_missing_until_it_comes_and_what_is_gone_is_not() -> None:
    numbers = Numbers([Range(3, 4, NONE, NONE)])
    assert list(numbers.gaps()) == [(1, 2)]
    assert list(numbers.gaps(9)) == [(1, 2), (5, 9)]
    assert list(numbers.gaps(9, [(1, 1), (6, 7)])) == [(2, 2), (5, 5), (8, 9)]
    assert list(Numbers().gaps()) == []
