"""Test spans of time that come in any order against a grid of time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_app.measures.spans import Spans

MOMENT = st.integers(0, 60)
SPANS = st.lists(st.tuples(MOMENT, MOMENT), max_size=12)


def of(pairs: list[tuple[int, int]]) -> Spans:
    spans = Spans()
    for start, end in pairs:
        spans.add(start, end)
    return spans


def seconds(pairs: list[tuple[int, int]]) -> set[int]:
    return {second for start, end in pairs for second in range(start, end)}


@given(SPANS, SPANS, MOMENT)
def test_spans_cover_what_any_of_them_covers(
    pairs: list[tuple[int, int]], more: list[tuple[int, int]], at: int
) -> None:
    spans, other = of(pairs), of(more)
    assert spans.total() == len(seconds(pairs))
    assert spans.common(other) == other.common(spans) == len(seconds(pairs) & seconds(more))
    before = spans.take(at)
    assert before.total() == len([second for second in seconds(pairs) if second < at])
    assert spans.total() == len([second for second in seconds(pairs) if second >= at])


def test_spans_that_meet_are_one() -> None:
    assert len(of([(0, 2), (4, 6), (2, 4)])) == 1
    assert len(of([(0, 2), (4, 6)])) == 2
    spans = Spans()
    for step in range(10_000):
        spans.add(step / 10, step / 10 + 0.1)
    assert len(spans) == 1
