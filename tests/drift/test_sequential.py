"""A lasting shift is found, a single strange day is not."""

from __future__ import annotations

from edge_app.drift.sequential import CumulativeSum


def test_it_adds_up_what_lies_beyond_the_slack() -> None:
    test = CumulativeSum(slack=1.0, limit=4.0)
    assert [test.add(value) for value in (2.0, 2.0, 2.5)] == [0, 0, 0]
    assert test.up == 3.5
    assert test.add(1.5) == 1
    assert test.add(-1.0) == 0  # and it falls again


def test_downwards_likewise() -> None:
    test = CumulativeSum(slack=0.5, limit=2.0)
    assert [test.add(-1.5) for _ in range(2)] == [0, -1]
    test.restart()
    assert (test.up, test.down) == (0.0, 0.0)


def test_no_single_value_is_enough() -> None:
    test = CumulativeSum(slack=1.0, limit=8.0)
    assert test.add(1_000.0) == 0
    assert test.up == 2.0
