"""Test the hints of trusted detectors and of marks, and their use in training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_app.detectors.tflite import TfliteDetector
from models.data import drawn
from models.data.marks import What, marks
from models.data.samples import BICYCLE, CLASSES, OTHER
from models.training.enlarged import FAINT, mean_scores, stays_doubtful
from models.training.framing import Scene
from models.training.hints import Hint, load, save, with_marks
from models.training.scenes import decoded, in_true_shape
from models.training.trusted import compare_labels
from tests.support.annotated import sample

CAR = CLASSES.index("car")
SHIPPED = Path("models/artefacts/ssdlite_mobilenet_v2_512x288.tflite")


def scene_of(boxes: list[list[float]], kinds: list[int]) -> Scene:
    """Return a grey picture with labels."""
    image, count = np.full((40, 60, 3), 128, np.uint8), len(kinds)
    found = np.array(boxes, np.float32).reshape(-1, 4)
    return Scene(image, 1.5, found, np.array(kinds, np.int8), np.zeros(count, bool), np.ones(count, bool))


@pytest.mark.parametrize(
    ("score", "kind", "learned"),
    [(0.9, 0, 0), (0.4, 0, OTHER), (0.9, 1, OTHER)],
    ids=["a sure car is learned", "a fair one is left out", "a motorcycle is never learned"],
)
def test_unlabelled_vehicles(score: float, kind: int, learned: int) -> None:
    scene = scene_of([[0.1, 0.1, 0.3, 0.3]], [0])
    seen = np.array([[0.1, 0.1, 0.3, 0.32], [0.6, 0.6, 0.8, 0.8]], np.float32)
    hint = compare_labels(scene, seen, np.array([0.9, score], np.float32), np.array([0, kind], np.int8))
    assert hint.kinds.tolist() == [learned]
    np.testing.assert_array_equal(hint.boxes, seen[1:])
    assert not hint.doubtful.any()
    more = hint.added(scene)
    assert more.kinds.tolist() == [0, learned]
    assert more.ignored.tolist() == [False, learned == OTHER]


@pytest.mark.parametrize(
    ("label", "seen", "score", "doubtful"),
    [(3, 0, 0.8, True), (3, 0, 0.4, False), (3, 3, 0.8, False), (1, 0, 0.8, False)],
    ids=["a truck seen as a car", "not sure enough", "agreed", "stock models call motorcycles cars"],
)
def test_labels_that_a_trusted_detector_contradicts(label: int, seen: int, score: float, doubtful: bool) -> None:
    scene = scene_of([[0.1, 0.1, 0.5, 0.5]], [label])
    box = np.array([[0.1, 0.1, 0.5, 0.48]], np.float32)
    hint = compare_labels(scene, box, np.array([score], np.float32), np.array([seen], np.int8))
    assert hint.doubtful.tolist() == [doubtful]
    assert hint.added(scene).ignored.tolist() == [doubtful]
    assert not len(hint.boxes)


@pytest.mark.parametrize(
    ("scores", "height", "before", "after"),
    [
        ({"truck": 0.4, "car": 0.3}, 0.2, True, False),
        ({"truck": 0.2, "car": 0.3}, 0.2, False, True),
        ({"truck": 0.2, "bus": 0.3}, 0.2, False, False),
        ({"truck": 0.2, "bus": 0.3}, 0.2, True, True),
        ({}, 0.2, False, False),
        ({}, 0.04, False, True),
        ({"truck": 0.2}, 0.04, True, False),
    ],
    ids=["confirmed", "a car", "a bus", "a bus, in doubt", "unseen", "unseen and small", "small, confirmed"],
)
def test_an_enlarged_view_decides_about_a_truck(
    scores: dict[str, float], height: float, before: bool, after: bool
) -> None:
    assert stays_doubtful("truck", scores, height, before) is after


def test_an_enlarged_vehicle_is_recognised_where_the_label_says() -> None:
    """Use a drawn street and the detector that ships: labels of cars, and an empty corner."""
    detector = TfliteDetector(SHIPPED, score=FAINT)
    scores = []
    for one in drawn.samples(12, seed=5):
        picture = in_true_shape(decoded(one))
        height, width = picture.shape[:2]
        for box in one.boxes[one.classes == CAR] * np.array([width, height] * 2, np.float32):
            scores.append(mean_scores(detector, picture, box).get("car", 0.0))
        assert "car" not in mean_scores(detector, picture, np.array([1, 1, 20, 12], np.float32))
    detector.close()
    assert scores
    assert np.mean(scores) > 0.3


def test_two_detectors_find_one_vehicle_once() -> None:
    twice = np.array([[0.6, 0.6, 0.8, 0.8], [0.61, 0.6, 0.8, 0.8]], np.float32)
    hint = compare_labels(scene_of([], []), twice, np.array([0.7, 0.9], np.float32), np.zeros(2, np.int8))
    np.testing.assert_array_equal(hint.boxes, twice[1:])


def test_a_mark_of_a_bicycle_replaces_detections_there(tmp_path: Path) -> None:
    marked, one = tmp_path / "marks.json", sample(boxes=[[0.1, 0.1, 0.3, 0.3]], classes=[1])
    marked.write_text(json.dumps({"bicycles": {one.sha256: [[0.5, 0.5, 0.8, 0.9]]}, "nothing": {}, "cars": {}}))
    hint_before = Hint(
        np.array([[0.5, 0.5, 0.8, 0.8], [0, 0, 0.1, 0.1]], np.float32), np.full(2, OTHER, np.int8), np.ones(1, bool)
    )
    for before, kinds, doubtful in (({one.sha256: hint_before}, [OTHER, BICYCLE], [True]), ({}, [BICYCLE], [False])):
        hint = with_marks(before, [one], marked)[one.sha256]
        assert hint.kinds.tolist() == kinds
        np.testing.assert_array_equal(hint.boxes[-1], np.array([0.5, 0.5, 0.8, 0.9], np.float32))
        assert hint.doubtful.tolist() == doubtful
        learned = hint.added(decoded(one))
        assert learned.kinds.tolist() == [1, *kinds]
        assert learned.ignored.tolist() == [*doubtful, *(kind == OTHER for kind in kinds)]
    assert with_marks({"another": hint_before}, [], marked) == {"another": hint_before}


def test_a_bicycle_labelled_as_a_motorcycle_is_not_learned_as_one(tmp_path: Path) -> None:
    marked = tmp_path / "marks.json"
    one = sample(boxes=[[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.8, 0.8]], classes=[1, 1])
    marked.write_text(json.dumps({"bicycles": {one.sha256: [[0.5, 0.5, 0.8, 0.9]]}, "nothing": {}, "cars": {}}))
    hint = with_marks({}, [one], marked)[one.sha256]
    assert hint.doubtful.tolist() == [False, True]
    learned = hint.added(decoded(one))
    assert learned.kinds[~learned.ignored].tolist() == [1, BICYCLE]


def test_a_mark_of_nothing_overrules_a_detector(tmp_path: Path) -> None:
    marked, one = tmp_path / "marks.json", sample(boxes=[[0.1, 0.1, 0.3, 0.3]], classes=[1])
    marked.write_text(json.dumps({"bicycles": {}, "cars": {}, "nothing": {one.sha256: [[0.5, 0.5, 0.8, 0.9]]}}))
    seen = np.array([[0.5, 0.5, 0.8, 0.8], [0, 0, 0.1, 0.1]], np.float32)
    hint = with_marks({one.sha256: Hint(seen, np.full(2, OTHER, np.int8), np.zeros(1, bool))}, [one], marked)
    np.testing.assert_array_equal(hint[one.sha256].boxes, seen[1:])
    assert hint[one.sha256].kinds.tolist() == [OTHER]
    assert not hint[one.sha256].doubtful.any()


def test_a_van_labelled_as_a_bus_is_learned_as_a_car(tmp_path: Path) -> None:
    marked = tmp_path / "marks.json"
    one = sample(boxes=[[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.8, 0.8]], classes=[2, 2])
    marked.write_text(json.dumps({"bicycles": {}, "nothing": {}, "cars": {one.sha256: [[0.5, 0.5, 0.8, 0.8]]}}))
    learned = with_marks({}, [one], marked)[one.sha256].added(decoded(one))
    assert learned.kinds[~learned.ignored].tolist() == [2, 0]


def test_a_truck_that_a_detector_takes_for_a_car_is_learned_where_a_person_has_confirmed_it(tmp_path: Path) -> None:
    marked = tmp_path / "marks.json"
    one = sample(boxes=[[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.8, 0.8]], classes=[3, 3])
    marked.write_text(json.dumps({"trucks": {one.sha256: [[0.5, 0.5, 0.8, 0.8]]}}))
    doubted = Hint(np.empty((0, 4), np.float32), np.empty(0, np.int8), np.ones(2, bool))
    learned = with_marks({one.sha256: doubted}, [one], marked)[one.sha256].added(decoded(one))
    assert learned.ignored.tolist() == [True, True, False]
    assert learned.kinds[2] == 3


@pytest.mark.parametrize(
    ("what", "least"),
    [("bicycles", 50), ("nothing", 50), ("cars", 20), ("unlabelled", 500), ("mislabelled", 40)],
)
def test_the_committed_marks_can_be_read(what: What, least: int) -> None:
    boxes = [box for marked in marks(what).values() for box in marked]
    assert len(boxes) > least
    assert all(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 for x0, y0, x1, y1 in boxes)


def test_hints_are_the_same_when_read_again(tmp_path: Path) -> None:
    whole = Hint(np.array([[0.1, 0.2, 0.3, 0.4]], np.float32), np.array([3], np.int8), np.array([True, False]))
    none = Hint(np.zeros((0, 4), np.float32), np.zeros(0, np.int8), np.zeros(0, bool))
    save(tmp_path / "hints.npz", {"a": whole, "b": none})
    again = load(tmp_path / "hints.npz")
    assert set(again) == {"a", "b"}
    for name, hint in (("a", whole), ("b", none)):
        np.testing.assert_array_equal(again[name].boxes, hint.boxes)
        np.testing.assert_array_equal(again[name].kinds, hint.kinds)
        np.testing.assert_array_equal(again[name].doubtful, hint.doubtful)
