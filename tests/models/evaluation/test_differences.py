"""Test the intervals: of every difference between two models, and of counts resampled from segments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_app.offline.scoring import SEGMENTS, Event, Truth, score
from edge_app.records import Line
from models.evaluation import document
from models.evaluation.bootstrap import interval
from models.evaluation.counting import ClipResult
from models.evaluation.detection import SetResult, picture_set
from models.evaluation.document import exact_figures
from models.evaluation.segments import draws, figures
from models.evaluation.speed import Speed
from models.evaluation.subject import Result, Subject
from tests.support.observations import observation, picture


def result(name: str, found: float) -> Result:
    """Return the result of a model that finds this share of 100 cars of one size, in 20 pictures of two cameras."""
    boxes = [(100.0 * i, 50.0, 100.0 * i + 30, 80.0) for i in range(5)]
    observations = tuple(
        observation([("car", box) for box in boxes], [("car", 0.9, box) for box in boxes[: round(5 * found)]])
        for _ in range(20)
    )
    shown = [picture(f"here__{i:02d}", f"here-0{i // 10}") for i in range(20)]
    one = SetResult(picture_set("here", shown, observations), observations, 0.2, (512, 288))
    return Result(Subject(name, Path(name), name, (512, 288), 1, "model"), sets=(one,))


def test_every_difference_is_that_of_the_results() -> None:
    ours, theirs = result("new", 1.0), result("old", 0.4)
    found = document.comparison(ours, theirs)
    made = document.result(ours, "")
    assert found["sets"] == {name: one["sha256"] for name, one in made["sets"].items()}
    sets = [document.result(one, "command")["sets"]["here"] for one in (ours, theirs)]
    slices = [one["slices"]["camera:here-01"]["classes"]["car"]["ap50"] for one in sets]
    sizes = [one["classes"]["car"]["by_size"]["medium"]["ap50"] for one in sets]
    expected = {
        "all/ap50": sets[0]["classes"]["car"]["ap50"] - sets[1]["classes"]["car"]["ap50"],
        "here/car/ap50": sets[0]["classes"]["car"]["ap50"] - sets[1]["classes"]["car"]["ap50"],
        "here/camera:here-01/car/ap50": slices[0] - slices[1],
        "here/size:medium/car/ap50": sizes[0] - sizes[1],
    }
    for name, delta in expected.items():
        assert delta > 0.5
        assert found["differences"][name]["delta"] == pytest.approx(delta, abs=2e-5)
        # All pictures are alike: nothing is left to chance.
        assert found["differences"][name]["ci"] == pytest.approx([delta, delta], abs=2e-5)
    assert "here/bus/ap50" not in found["differences"]
    turned = document.comparison(theirs, ours)["differences"]["all/ap50"]
    assert turned["delta"] == -found["differences"]["all/ap50"]["delta"]


LINE = Line("main", (0.0, 0.5), (1.0, 0.5))


def clip(events: list[Event], counted: list[Event]) -> ClipResult:
    """Return the result of a clip with these true and counted crossings."""
    truth = Truth("clip.mp4", LINE, 25.0, 20.0, tuple(events), ())
    return ClipResult(truth, tuple(counted), score(truth, counted))


def car(time: float, label: str = "car") -> Event:
    """Return a crossing to the right at this time, s."""
    return Event(time, label, "left_to_right")


CLIPS = (
    clip([car(1), car(3), car(7), car(15, "motorcycle")], [car(1.9), car(3), car(12), car(15, "car")]),
    clip([car(2), car(9, "truck")], [car(2), car(9, "bus")]),
)


def test_a_comparison_says_what_the_baseline_counts() -> None:
    ours, theirs = result("new", 1.0), result("old", 0.4)
    assert document.comparison(ours, theirs)["baseline_counts"] is None
    ours, theirs = replace(ours, counted=CLIPS[:1] * 2), replace(theirs, counted=CLIPS)
    found = document.comparison(ours, theirs)["baseline_counts"]
    assert found == document.result(theirs, "command")["counting"]["all"]
    assert found != document.result(ours, "command")["counting"]["all"]


def test_segments_as_they_are_give_the_exact_scores() -> None:
    as_they_are = np.broadcast_to(np.arange(SEGMENTS), (1, len(CLIPS), SEGMENTS))
    found = {name: float(values[0]) for name, values in figures(CLIPS, as_they_are).items()}
    assert found == pytest.approx(exact_figures(CLIPS))


def test_resampled_counts_vary_around_the_exact_score_and_pair_between_models() -> None:
    drawn = draws(len(CLIPS), rounds=400)
    found = figures(CLIPS, drawn)
    for name, exact in exact_figures(CLIPS).items():
        ends = interval(found[name])
        assert ends is not None
        assert ends[0] <= exact <= ends[1]
    assert (figures(CLIPS, drawn)["event_f1"] - found["event_f1"] == 0).all()
    perfect = clip([car(1), car(5)], [car(1), car(5)])
    assert np.nanmin(figures([perfect], draws(1))["event_f1"]) == 1


def test_time_saved_is_separated_from_noise_that_both_share() -> None:
    random = np.random.default_rng(4)
    noise = 1 + np.repeat(random.exponential(0.3, 10), 10)  # a machine that is busy for some rounds

    def ends(factor: float) -> tuple[float, float]:
        base, own = (time * noise * (1 + random.normal(0, 0.005, 100)) for time in (6.0, 6.0 * factor))
        found = interval(Speed(own, base, 2).saved)
        assert found
        return found

    low, high = ends(0.96)
    assert 0.03 < low < 0.04 < high < 0.05
    low, high = ends(1.0)
    assert -0.01 < low < 0 < high < 0.01
