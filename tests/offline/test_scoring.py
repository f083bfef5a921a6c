"""Scoring against truth: pairs, misses, false counts, effectiveness, and agreement with the reference scorer."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.errors import ConfigError
from edge_app.offline.scoring import Event, Score, SpeedScore, Tally, Truth, read_truth, score
from edge_app.records import DIRECTIONS, Line
from tests.support.shared import SHARED, needs

LINE = Line("main", (0.0, 0.5), (1.0, 0.5))


def car(time: float, label: str = "car") -> Event:
    return Event(time, label, "left_to_right")


def truth(*events: Event, uncertain: tuple[Event, ...] = (), length: float = 20.0) -> Truth:
    return Truth("clip.mp4", LINE, 25.0, length, events, uncertain)


def test_a_perfect_count_scores_one_everywhere() -> None:
    events = (car(1), car(5), car(9, "truck"))
    result = score(truth(*events), events)
    assert (result.overall.f1, result.any_class.f1, result.effectiveness) == (1.0, 1.0, 1.0)


def test_a_miss_and_a_false_count_do_not_cancel() -> None:
    result = score(truth(car(1)), [car(10)])
    assert result.overall == Tally(paired=0, false=1, missed=1, true=1, counted=1)


def test_a_wrong_class_lowers_only_the_f1_with_classes() -> None:
    result = score(truth(car(1)), [car(1, "truck")])
    assert result.any_class.f1 == 1.0
    assert result.overall.f1 == 0.0


def test_bus_and_truck_are_one_group_bicycles_another_and_rickshaws_are_not_scored() -> None:
    true = truth(car(1, "bus"), car(2, "bicycle"), car(3, "auto_rickshaw"))
    assert score(true, [car(1, "truck"), car(9, "bicycle"), car(3, "auto_rickshaw")]).groups == {
        "heavy": Tally(paired=1, true=1, counted=1),
        "bicycle": Tally(false=1, missed=1, true=1, counted=1),
    }


def test_an_uncertain_crossing_counts_neither_for_nor_against() -> None:
    t = truth(car(1), uncertain=(car(5),))
    assert score(t, [car(1), car(5)]).overall == score(t, [car(1)]).overall


def test_as_many_crossings_as_possible_are_paired() -> None:
    """Greedy pairing in order of time would give the earlier count the only partner of another one."""
    t = truth(car(5), uncertain=(car(6.5),))
    assert score(t, [car(4.2), car(5.9)]).overall == Tally(paired=1, true=1, counted=1)
    assert score(truth(car(5), car(6.5)), [car(5.9), car(6.8)]).overall == Tally(paired=2, true=2, counted=2)
    assert score(truth(car(5), car(5.5)), [car(5.2), car(6.3)]).overall == Tally(paired=2, true=2, counted=2)


def test_speeds_are_compared_of_paired_crossings_whatever_their_class() -> None:
    def at(time: float, kmh: float | None, label: str = "car") -> Event:
        return Event(time, label, "left_to_right", kmh)

    true = truth(at(1, 50), at(5, 40), at(5, 80), at(9, None), at(12, 30), at(15, 60))
    found = [at(1.2, 52, "truck"), at(5, 40), at(5, 100), at(9, 20), at(12, None)]
    result = score(true, found)
    assert result.speed_errors[3] is None
    assert result.speed_errors[:3] == pytest.approx((0.04, 0.0, 0.25))
    assert result.speeds is not None
    assert (result.speeds.true, result.speeds.measured) == (4, 3)
    assert result.speeds.median_error == pytest.approx(0.04)
    assert result.speeds.within == pytest.approx(2 / 3)
    assert (result + score(truth(car(1)), [car(1)])).speeds == result.speeds
    assert score(truth(car(1)), [at(1, 50)]).speeds is None
    assert score(truth(at(1, 50)), [car(1)]).speeds == SpeedScore(1, 0, None, None)


@pytest.mark.parametrize("speed", [0, -3, "fast", True, float("nan")])
def test_a_true_speed_must_be_a_number_above_0(speed: object, tmp_path: Path) -> None:
    path, event = tmp_path / "truth.json", {"frame": 3, "class": "car", "direction": "left_to_right", "speed_kmh": 47.5}
    content = {"clip": "a.mp4", "fps": 25, "frames": 100, "line": {"id": "main", "start": [0, 0.5], "end": [1, 0.5]}}
    path.write_text(json.dumps({**content, "events": [event]}))
    assert read_truth(path).events[0].kmh == 47.5
    path.write_text(json.dumps({**content, "events": [{**event, "speed_kmh": speed}]}))
    with pytest.raises(ConfigError, match=r"speed_kmh is .* it must be a number above 0"):
        read_truth(path)


def test_effectiveness_weighs_the_error_of_cumulative_counts() -> None:
    # True at 1 s and 11 s of 20, the second missed: gap 1 in segments 6..10, whose weights sum to 80 / 110.
    result = score(truth(car(1), car(11)), [car(1)])
    assert result.effectiveness == pytest.approx(1 - (80 / 110) ** 0.5 / 2)


def test_scores_add_up_over_clips() -> None:
    a, b = score(truth(car(1)), [car(1)]), score(truth(car(1), car(4)), [])
    both: Score = a + b
    assert both.overall == Tally(paired=1, missed=2, true=3, counted=1)
    assert both.effectiveness == pytest.approx((a.weighted + b.weighted) / 3)


times = st.lists(st.floats(0, 20), max_size=12)


@settings(deadline=None, max_examples=60)
@given(true=times, counted=times)
def test_every_crossing_is_paired_or_false_or_missed(true: list[float], counted: list[float]) -> None:
    tally = score(truth(*map(car, true)), list(map(car, counted))).overall
    assert tally.paired + tally.missed == tally.true == len(true)
    assert tally.paired + tally.false == tally.counted == len(counted)
    assert score(truth(*map(car, counted)), list(map(car, true))).overall.paired == tally.paired


def test_a_file_that_is_no_truth_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    for content in ("{", "[]", '{"clip": "x"}', '{"clip": "x", "line": 3, "fps": 0, "frames": 1, "events": []}'):
        path.write_text(content)
        with pytest.raises(ConfigError, match="is not a truth file"):
            read_truth(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_truth(tmp_path / "absent.json")


@pytest.mark.parametrize("clip", ["../../etc/passwd", "/etc/passwd", "a/../../b.mp4", "..", "", "a\nb.mp4", 3, None])
def test_a_truth_names_a_clip_in_the_folder_of_the_clips(tmp_path: Path, clip: object) -> None:
    line = {"id": "main", "start": [0, 0.5], "end": [1, 0.5]}
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"clip": clip, "line": line, "fps": 25, "frames": 1, "events": []}))
    with pytest.raises(ConfigError, match="is not a truth file"):
        read_truth(path)
    path.write_text(json.dumps({"clip": "day/a b.mp4", "line": line, "fps": 25, "frames": 1, "events": []}))
    assert read_truth(path).clip == "day/a b.mp4"


@needs("tools/score_counts.py")
def test_scores_agree_with_the_reference_scorer(tmp_path: Path) -> None:
    chance = random.Random(7)
    arguments, total = [], None
    for path in sorted((SHARED / "truth").glob("*.json")):
        t = read_truth(path)
        rows = [
            {
                "frame": round(chance.uniform(0, t.length) * t.fps),
                "class": chance.choice(["car", "motorcycle", "bus", "truck", "bicycle"]),
                "direction": chance.choice(DIRECTIONS),
            }
            for _ in range(20)
        ] + [row for row in json.loads(path.read_text())["events"] if chance.random() < 0.8]
        result = tmp_path / path.name
        result.write_text(json.dumps({"events": rows}))
        arguments += [str(path), str(result)]
        own = score(t, [Event(row["frame"] / t.fps, row["class"], row["direction"]) for row in rows])
        total = own if total is None else total + own
    reference = json.loads(
        subprocess.check_output([sys.executable, SHARED / "tools/score_counts.py", "--json", *arguments])
    )
    assert total is not None
    assert round(total.overall.f1, 4) == reference["f1"]
    assert round(total.any_class.f1, 4) == reference["any_class_f1"]
    assert total.effectiveness == pytest.approx(reference["effectiveness"], abs=1e-4)
