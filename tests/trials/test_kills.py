"""Kills and outages in short, and the checks of the long run (python -m tests.trials.kills) on broken evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_app.system.clock import rfc3339
from tests.support.brokers import needs_mosquitto
from tests.support.invariants import Evidence, LoggedCrossing, Run, check
from tests.trials.kills import Plan, survive

pytestmark = pytest.mark.servers

NOON = 1_800_000_000.0
RIGHT = "left_to_right"


@needs_mosquitto
@pytest.mark.timeout(180)
def test_counts_survive_kills_and_outages(tmp_path: Path) -> None:
    evidence = survive(tmp_path, Plan(app_kills=2, broker_kills=1, longest_s=5.0, pause_s=5.0, rate=6.0))
    assert evidence.killed == 2
    assert [finding for finding in check(evidence) if not finding.held] == []


def payload(seq: int, /, **other: Any) -> dict[str, Any]:
    """Return interval `seq` of one line, with one car and full coverage."""
    start = NOON + 10 * seq
    return {
        "id": str(seq),
        "line": "a",
        "start": rfc3339(start),
        "end": rfc3339(start + 10),
        "interval_s": 10,
        "counts": {"car": {RIGHT: 1, "right_to_left": 0}},
        "totals": {"car": {RIGHT: seq, "right_to_left": 0}},
        "seq": seq,
        "coverage": 1.0,
        "frames": 100,
        **other,
    }


def evidence(*payloads: dict[str, Any], gap_s: float = 0.0) -> Evidence:
    """Return the evidence of a run that was killed in interval 2 and of the next one, which was stopped."""
    cars = [LoggedCrossing(("a", "car", RIGHT), NOON + 10 * seq + 1) for seq in (1, 2, 3)]
    kill = NOON + 25
    runs = [Run(NOON + 10, kill, None, counted=cars[:2]), Run(kill + gap_s, NOON + 41, 0, counted=cars[2:])]
    return Evidence([json.dumps(p).encode() for p in payloads], runs)


SOUND = [payload(seq) for seq in (1, 2, 3)]


def broken(evidence: Evidence) -> list[str]:
    return [finding.promise for finding in check(evidence) if not finding.held]


def test_sound_evidence_is_accepted_even_when_received_twice() -> None:
    assert broken(evidence(*SOUND, *SOUND[1:])) == []


@pytest.mark.parametrize(
    ("number", "change", "promise"),
    [
        (2, {"late": True}, "one content"),
        (2, {"start": rfc3339(NOON), "end": rfc3339(NOON + 10)}, "one content"),
    ],
)
def test_a_second_version_of_an_interval_is_found(number: int, change: dict[str, Any], promise: str) -> None:
    found = broken(evidence(*SOUND, payload(number, **change)))
    assert any(promise in text for text in found)


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        ({"seq": 4}, "seq from 1"),
        ({"start": rfc3339(NOON + 25)}, "overlaps"),
        ({"counts": {"car": {RIGHT: 0, "right_to_left": 1}}}, "sums"),
        ({"counts": {"truck": {RIGHT: 1, "right_to_left": 0}}}, "sums"),
        ({"counts": {"car": {RIGHT: 3, "right_to_left": 0}}}, "sums"),
        ({"totals": {"car": {RIGHT: 2, "right_to_left": 0}}}, "totals"),
        ({"coverage": 0.6}, "coverage"),
        ({"coverage": 1.2}, "coverage"),
    ],
)
def test_a_wrong_interval_is_found(change: dict[str, Any], promise: str) -> None:
    found = broken(evidence(*SOUND[:2], payload(3, **change)))
    assert any(promise in text for text in found)


def test_a_missing_interval_is_found() -> None:
    assert {text.split()[0] for text in broken(evidence(SOUND[0], SOUND[2]))} >= {"seq", "sums", "totals"}
    assert any("sums" in text for text in broken(evidence(*SOUND[:2])))
    assert len(broken(evidence())) >= 3


def test_coverage_must_lack_the_time_between_two_runs() -> None:
    assert any("coverage" in text for text in broken(evidence(*SOUND, gap_s=3.0)))
    assert broken(evidence(SOUND[0], payload(2, coverage=0.7), SOUND[2], gap_s=3.0)) == []


@pytest.mark.parametrize("more", [1, 2])
def test_one_crossing_per_kill_may_be_delivered_without_being_logged(more: int) -> None:
    counts, totals = {"car": {RIGHT: 1 + more, "right_to_left": 0}}, {"car": {RIGHT: 3 + more, "right_to_left": 0}}
    found = broken(evidence(*SOUND[:2], payload(3, counts=counts, totals=totals)))
    assert bool(found) == (more > 1)


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        (lambda sound: replace(sound, unsent=1), "unsent"),
        (lambda sound: replace(sound, runs=[sound.runs[0], replace(sound.runs[1], code=1)]), "clean"),
        (lambda sound: replace(sound, runs=[sound.runs[0], replace(sound.runs[1], faults=["lost"])]), "clean"),
    ],
)
def test_unsent_intervals_and_a_failed_stop_are_found(change: Callable[[Evidence], Evidence], promise: str) -> None:
    found = broken(change(evidence(*SOUND)))
    assert [promise in text for text in found] == [True]
