"""Figures of a quarter of an hour: what is told of it, and what is kept on disk."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from edge_app.drift.seen import Seen
from edge_app.monitoring.figure_history import FigureHistory, started
from edge_app.monitoring.figures import FigureReport, Sample
from edge_app.system.readings import Readings

BEGIN = 1_795_946_400.0  # 2026-11-29 10:00 UTC
DAY = 86_400.0


class Clock:
    """A clock that is set by hand, UTC s."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def sample(frames: int, dropped: int = 0, *, unsent: int = 0, celsius: float = 50.0, throttled: bool = False) -> Sample:
    readings = Readings(celsius, 150.0, 4000.0, 20_000.0, throttled)
    return Sample(frames, dropped, {"detect": (17.0, 20.0)}, unsent, readings)


def report(folder: Path, clock: Clock) -> FigureReport:
    return FigureReport(FigureHistory(folder), clock)


def test_a_quarter_is_told_once_it_is_over(tmp_path: Path) -> None:
    clock = Clock(BEGIN + 10)
    told = report(tmp_path, clock)
    for minute in range(15):
        clock.at = BEGIN + 10 + 60 * minute
        told.sample(sample(900 * minute, 100 * minute, unsent=minute % 3, celsius=50.0 + minute, throttled=minute == 7))
    assert told.newest is None
    seen = Seen(BEGIN, 840.0, 12_600, 6300, 9450, 6300, 12_600, 6300.0, scores=[0.9, 0.4], doubtful=1)
    seen.lengths, seen.sizes, seen.died, seen.fragments = [2.0, 4.0, 6.0, 8.0], [50.0], 1, 2
    seen.classes, seen.pictures, seen.shift = Counter(car=2), {"noise": [1.0, 3.0, 2.0]}, 0.03
    told.take(seen)
    clock.at = BEGIN + 900 + 4  # the first frame behind it may still be on its way
    told.sample(sample(0))
    assert told.newest is None
    clock.at = BEGIN + 910
    told.sample(sample(13_500, 1500))
    figures = told.newest
    assert figures is not None
    assert figures.input is not None
    assert figures.output is not None
    assert figures.start.timestamp() == BEGIN
    software = figures.software
    assert (software.unsent, software.temperature_c, software.disk_free_mb, software.starts) == (2, 64.0, 20_000.0, 1)
    assert software.throttled_share == pytest.approx(1 / 16, rel=0.01)
    assert software.stages_ms["detect"].p95 == 20.0
    assert (figures.input.noise, figures.input.shift, figures.input.brightness) == (2.0, 0.03, None)
    assert (figures.input.still_share, figures.input.empty_share) == (0.5, 0.75)
    assert (figures.output.detections, figures.output.detection_score, figures.output.track_s) == (2.0, 0.5, 5.0)
    assert (figures.output.died_share, figures.output.fragment_share) == (0.25, 0.5)
    assert (figures.output.doubtful_share, figures.output.classes) == (0.5, {"car": 2})


def test_rate_and_drops_are_those_of_the_quarter(tmp_path: Path) -> None:
    clock = Clock(BEGIN + 10)
    told = report(tmp_path, clock)
    for minute in range(31):
        clock.at = BEGIN + 10 + 60 * minute
        slow = max(0, minute - 15)
        told.sample(sample(900 * minute - 450 * slow, 450 * slow))
    figures = told.newest
    assert figures is not None
    assert figures.input is None
    assert figures.start.timestamp() == BEGIN + 900
    assert figures.software.frames_per_s == pytest.approx(7.75, abs=0.3)
    assert figures.software.dropped_share == pytest.approx(0.5, abs=0.05)


def test_starts_of_a_day_are_counted_over_restarts(tmp_path: Path) -> None:
    for hours in (-30, -20, -2, 0):
        clock = Clock(BEGIN + 10 + hours * 3600)
        told = report(tmp_path, clock)
    told.sample(sample(0))
    clock.at += 900
    told.sample(sample(900))
    assert told.newest is not None
    assert told.newest.software.starts == 3
    kept = [json.loads(line) for line in FigureHistory(tmp_path).days(BEGIN, 1)]
    assert kept[-1] == json.loads(told.newest.model_dump_json())


def test_the_history_is_bounded_and_damage_is_left_out(tmp_path: Path) -> None:
    history = FigureHistory(tmp_path)
    for day in range(40):
        history.add(BEGIN + day * DAY, started(BEGIN + day * DAY))
    assert len(history.files()) == 35
    newest = history.files()[-1]
    with newest.open("ab") as opened:
        opened.write(b'{"started": \n{"started": []}\n')
        opened.write(b"x" * 400_000)
    history.add(BEGIN + 39 * DAY, "{}")
    assert newest.stat().st_size < 400_200
    assert history.starts(BEGIN, BEGIN + 39 * DAY + 1) == [BEGIN + 38 * DAY, BEGIN + 39 * DAY]


def test_a_history_that_cannot_be_written_is_told_and_figures_go_on(tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("a file in its place")
    clock = Clock(BEGIN + 10)
    told = report(tmp_path / "figures", clock)
    told.sample(sample(0))
    clock.at += 900
    told.sample(sample(900))
    assert told.newest is not None
    assert told.problem == "the history of figures cannot be written (File exists)"
