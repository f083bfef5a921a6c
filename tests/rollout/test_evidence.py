"""Evidence: its promise on false alarms, and what a single value can do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.rollout.evidence import Evidence


def looks(values: list[float]) -> Evidence:
    evidence = Evidence()
    for value in values:
        evidence.add(value)
    return evidence


def test_nothing_is_no_evidence() -> None:
    assert Evidence().strength == 0.0
    assert not Evidence().shows(0.5)


def test_its_value_is_the_integral_over_half_a_normal_distribution() -> None:
    evidence = looks([3.0, -1.0, 4.0, 2.0])
    a = np.linspace(0, 4, 200_001)
    density = 2 / (0.2 * math.sqrt(2 * math.pi)) * np.exp(-(a**2) / (2 * 0.2**2))
    values = np.exp(a * evidence.sum - a**2 * evidence.squares / 2) * density
    assert evidence.strength == pytest.approx(math.log(float(np.trapezoid(values, a))), abs=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.floats(-1e9, 1e9))
def test_one_more_value_multiplies_it_by_no_more_than_root_e(values: list[float], more: float) -> None:
    before = looks(values)
    strength = before.strength
    before.add(more)
    assert before.strength <= max(strength, -700.0) + 0.5 + 1e-6


def test_a_mean_of_zero_seldom_shows_however_often_one_looks() -> None:
    """Values as odd as counts of streets: spread by a factor of a thousand, most of them small."""
    random, shown = np.random.default_rng(1), 0
    for _ in range(400):
        spread = np.exp(random.normal(0, 2, 500))
        evidence = Evidence()
        for value in spread * random.choice([-1.0, 1.0], 500):
            evidence.add(float(value))
            if evidence.shows(0.05):
                shown += 1
                break
    assert shown <= 0.05 * 400


def test_a_mean_above_zero_shows() -> None:
    random = np.random.default_rng(2)
    assert looks(random.normal(0.7, 3, 400).tolist()).shows(0.01)


def test_far_below_zero_it_stays_a_number() -> None:
    evidence = looks([-1e6] * 1000)
    assert math.isfinite(evidence.strength)
    assert evidence.strength < 0
