"""A clock that is set wrong and right again while vehicles pass: no hour is lost, and nothing is piled up."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from edge_app.mqtt.encoding import encode_counts
from edge_app.storage.intervals import Counting
from edge_app.storage.ledger import Ledger
from edge_app.system.clock import StepMonitor
from tests.support.ledger_cases import CLASSES, NOON, crossing, payloads
from tests.support.publisher_cases import DEVICE

HOUR_S, DAY_S = 3600.0, 86_400.0
EVERY_S = 5.0
"""Seconds from one vehicle to the next: each one is synced to the disk."""
STORIES = {
    "an hour ahead for 25 s": [(70.0, 0.0), (25.0, HOUR_S), (200.0, 0.0)],
    "to 2038 and back": [(70.0, 0.0), (25.0, 4_000 * DAY_S), (200.0, 0.0)],
    "two hours back and right again": [(200.0, 0.0), (200.0, -2 * HOUR_S), (200.0, 0.0)],
    "from 1970": [(100.0, 60.0 - NOON), (200.0, 0.0)],
    "half a minute to and fro": [(70.0, 0.0), (70.0, 30.0), (70.0, 0.0), (70.0, -30.0), (70.0, 0.0)],
    "two seconds to and fro": [(70.0, 0.0), (70.0, 2.0), (70.0, 0.0), (70.0, -2.0), (70.0, 0.0)],
}


def drive(folder: Path, story: list[tuple[float, float]]) -> int:
    """Let a vehicle pass every EVERY_S by a clock that is wrong by so much for so long; return their number."""
    counting = Counting(CLASSES, 60.0, "c")
    ledger = Ledger(folder, ["north"], counting, "b1", lambda c: encode_counts(DEVICE, c), names=("delft", "cam-1"))
    monitor, true, passed, now = StepMonitor(), 0.0, 0, 0.0
    for seconds, error in story:
        for _ in range(round(seconds)):
            now = NOON + true + error
            step = monitor.update(now, 100.0 + true)
            if step:
                ledger.set_clock(now, step)
            vehicles = [crossing(now)] if true % EVERY_S == 0 else []
            ledger.record(now, vehicles, 0)
            ledger.tick(now)
            passed += len(vehicles)
            true += 1.0
    ledger.tick(now + 63.0)
    assert ledger.problem == ""
    ledger.close(now + 64.0)
    return passed


def cars_of(interval: dict[str, Any]) -> int:
    return int(interval["counts"]["car"]["left_to_right"])


@pytest.mark.parametrize(
    ("story", "installations", "made_up", "stepped"),
    [
        ("an hour ahead for 25 s", 2, 59, 60),
        ("to 2038 and back", 2, 0, 1),
        ("two hours back and right again", 2, 119, 120),
        ("from 1970", 1, 0, 1),
        ("half a minute to and fro", 1, 0, 2),
        ("two seconds to and fro", 1, 0, 2),
    ],
)
def test_no_step_loses_or_piles_up_anything_and_skipped_time_is_marked(
    tmp_path: Path, story: str, installations: int, made_up: int, stepped: int
) -> None:
    passed = drive(tmp_path, STORIES[story])
    found = payloads(tmp_path)
    assert sum(map(cars_of, found)) == passed
    assert len({i["id"] for i in found}) == len(found)
    piled = [i for i in found if cars_of(i) > 60 / EVERY_S and "clock_stepped" not in i["quality"]]
    assert not piled, "time was piled up"
    assert max(map(cars_of, found)) <= (60 + 30) / EVERY_S, "more than the step itself was piled up"
    for _, group in itertools.groupby(found, lambda i: i["installation"]):
        one = list(group)
        assert [i["seq"] for i in one] == list(range(1, len(one) + 1))
        assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(one))
        assert all(i["coverage"] == 0 and not cars_of(i) for i in one if not i["frames"])
        assert all("clock_stepped" in i["quality"] for i in one if not i["frames"])
    assert len({i["installation"] for i in found}) == installations
    assert sum(not i["frames"] for i in found) == made_up
    assert sum("clock_stepped" in i["quality"] for i in found) == stepped
