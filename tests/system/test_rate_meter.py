"""Test the rate of a running count."""

from __future__ import annotations

from edge_app.system.rate_meter import RateMeter


def test_the_rate_is_renewed_after_its_span_and_stays_in_between() -> None:
    meter = RateMeter(over_s=2.0)
    assert meter.update(100, 10.0) == 0.0
    assert meter.update(115, 11.0) == 0.0
    assert meter.update(130, 12.0) == 15.0
    assert meter.update(131, 13.9) == 15.0
    assert meter.update(140, 14.0) == 5.0


def test_a_meter_that_was_started_measures_from_there() -> None:
    meter = RateMeter(over_s=0, started=100.0)
    assert meter.update(30, 110.0) == 3.0
    assert meter.update(30, 110.0) == 3.0, "no time has passed"
    assert meter.update(40, 115.0) == 2.0
