"""Time that was told, and which of the intervals that overlap count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.city.overlaps import Piece, counting
from edge_app.city.spans import Spans
from edge_app.city.sums import QUARTER_S, quarter_sum
from tests.city.cases import vector


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=25))
def test_spans_are_a_union_and_know_what_was_there_already(spans: list[tuple[int, int]]) -> None:
    subject, seen = Spans(), set[int]()
    for start, length in spans:
        seconds = set(range(start, start + length))
        assert subject.add(start, start + length) == bool(seen & seconds)
        seen |= seconds
        assert {second for first, last in subject.spans for second in range(first, last)} == seen
        assert all(one[1] < other[0] for one, other in zip(subject.spans, subject.spans[1:], strict=False))


def test_a_span_has_a_length() -> None:
    with pytest.raises(ValueError, match="must end after it begins"):
        Spans().add(5, 5)


def piece(start: int, end: int, series: int, order: int, *, stepped: bool = False, cars: int = 1) -> Piece:
    return Piece(start, end, series, order, vector(cars), 1.0, "clock_stepped" if stepped else "")


def test_within_an_installation_the_first_one_received_counts() -> None:
    first, second = piece(0, 60, 1, 10), piece(30, 90, 1, 20)
    assert counting([second, first]) == [first]
    assert counting([piece(0, 60, 1, 20), piece(30, 90, 1, 10)]) == [piece(30, 90, 1, 10)]


def test_between_installations_the_later_one_counts_unless_its_clock_was_set() -> None:
    former, later = piece(0, 60, 1, 10), piece(0, 60, 2, 20)
    assert counting([former, later]) == [later]
    stepped = piece(0, 60, 2, 20, stepped=True)
    assert counting([former, stepped]) == [former]
    assert counting([piece(0, 60, 1, 10, stepped=True), stepped]) == [stepped]


def test_what_overlaps_nothing_is_kept_beside_it() -> None:
    pieces = [piece(0, 60, 1, 1), piece(60, 120, 1, 2), piece(30, 60, 2, 3), piece(120, 180, 1, 4)]
    assert counting(pieces) == [pieces[2], pieces[1], pieces[3]]


def test_an_interval_counts_where_it_begins_and_tells_how_much_lies_beyond() -> None:
    pieces = [piece(-30, 30, 1, 1, cars=5), piece(30, 870, 1, 2, cars=7), piece(870, 1000, 1, 3, cars=2)]
    total = quarter_sum(pieces, 0)
    assert (total.counts, total.length_s, total.straddling_s, total.intervals) == (vector(9), 970, 100, 2)
    assert quarter_sum(pieces, QUARTER_S).counts == vector(0)
    assert quarter_sum(pieces, -QUARTER_S).counts == vector(5)


def test_what_arrived_later_than_its_own_length_after_its_end_is_late() -> None:
    in_time, late = piece(0, 60, 1, 120_000), piece(60, 120, 1, 180_001)
    long, resent = piece(120, 420, 1, 720_000), piece(420, 720, 1, 5_000_000)
    straddling = piece(870, 930, 1, 990_001)  # counts here with all of its length, and is late with all of it
    assert [one.late for one in (in_time, late, long, resent)] == [False, True, False, True]
    total = quarter_sum([in_time, late, long, resent, straddling], 0)
    assert (total.length_s, total.late_s) == (780, 60 + 300 + 60)


def test_of_intervals_that_overlap_the_one_that_counts_tells_whether_it_was_late() -> None:
    former, later = piece(0, 60, 1, 61_000), piece(0, 60, 2, 500_000)
    assert quarter_sum([former, later], 0).late_s == 60
    assert quarter_sum([piece(0, 60, 1, 61_000), piece(30, 90, 1, 500_000)], 0).late_s == 0


def test_covered_time_and_flags_are_added_up() -> None:
    half = Piece(0, 60, 1, 1, vector(1), 0.5, "dark,slow")
    total = quarter_sum([half, piece(60, 120, 1, 2)], 0)
    assert (total.covered_s, total.flagged_s, total.flags) == (90.0, 60, {"dark": 60, "slow": 60})
