"""How often a camera's class is right: by kind, weighted, with intervals that hold what they promise."""

from __future__ import annotations

import random

import pytest

from edge_app.city.accuracy import Reviewed, accuracy_of, wilson


def test_wilson_limits_are_those_of_the_books() -> None:
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(1.0, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_kinds_are_weighted_by_the_crossings_that_they_stand_for() -> None:
    doubtful = [Reviewed(True, 1, right) for right in (True, False)]
    certain = [Reviewed(False, 9, True) for _ in range(2)]
    found = accuracy_of([*doubtful, *certain])
    assert found is not None
    assert found.share == pytest.approx(0.95)  # all answers in one heap would give 0.75
    assert 0.0 < found.low < 0.95 < found.high <= 1.0


def test_what_nobody_has_answered_tells_nothing_and_weighs_all_the_same() -> None:
    assert accuracy_of([]) is None
    assert accuracy_of([Reviewed(True, 1, True), Reviewed(False, 9, None)]) is None
    pictures = [Reviewed(True, 1, False), Reviewed(True, 8, None), Reviewed(False, 1, True)]
    found = accuracy_of(pictures)
    assert found is not None
    assert found.share == pytest.approx(0.1)


def test_the_interval_holds_the_true_share_in_most_of_many_cameras() -> None:
    rng, held = random.Random(3), 0
    true = 0.1 * 0.7 + 0.9 * 0.97
    for _ in range(400):
        pictures = []
        for doubtful, share, weight in ((True, 0.7, 2), (False, 0.97, 18)):
            pictures += [Reviewed(doubtful, rng.randint(1, 2 * weight - 1), rng.random() < share) for _ in range(60)]
        found = accuracy_of(pictures)
        assert found is not None
        held += found.low <= true <= found.high
    assert held / 400 >= 0.93
