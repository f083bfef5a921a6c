"""Test the search for wrong labels, for riders outside their boxes, and for repeated frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.records import LABELS, Detections, FloatArray
from models.conversion.anchors import Size
from models.data.fingerprints import inspect
from models.data.report.findings import duplicates, gather
from models.data.report.riders import RISEN, rises
from models.data.report.scenes import ModelDetections, scale, scene
from models.data.report.suspects import of_detections, of_labels
from models.data.samples import CLASSES, Sample
from models.data.shards import Entry
from tests.support.annotated import encoded, entry, sample

INPUT = np.array([512, 288], np.float32)


def seen(*rows: tuple[str, float, list[float]]) -> Detections:
    """Return detections from rows of class, score and box."""
    boxes = np.array([box for _, _, box in rows], np.float32).reshape(-1, 4)
    kinds = np.array([LABELS.index(label) for label, _, _ in rows], np.int16)
    return Detections(boxes, np.array([score for _, score, _ in rows], np.float32), kinds)


def labelled(*rows: tuple[str, list[float]], ignored: bool = False) -> Sample:
    """Return a sample from rows of class and box."""
    kinds = [CLASSES.index(label) for label, _ in rows]
    return sample("a", 1, [box for _, box in rows], kinds, [ignored] * len(rows))


HERE, THERE, SMALL = [0.1, 0.1, 0.4, 0.5], [0.6, 0.5, 0.9, 0.9], [0.6, 0.5, 0.63, 0.55]


@pytest.mark.parametrize(
    ("labels", "found", "wanted"),
    [
        ([("car", HERE)], [("car", 0.9, HERE)], []),
        ([("car", HERE)], [("car", 0.9, HERE), ("bus", 0.8, THERE)], [("missing label", None, "bus", 0.8)]),
        ([("car", HERE)], [("car", 0.9, HERE), ("bus", 0.5, THERE)], []),
        ([("car", HERE)], [("car", 0.9, HERE), ("bicycle", 0.9, THERE)], []),
        ([], [("car", 0.9, HERE)], [("missing label", None, "car", 0.9)]),
        ([("car", HERE)], [("truck", 0.9, HERE)], [("other class", "car", "truck", 0.9)]),
        ([("car", HERE)], [("truck", 0.9, HERE), ("car", 0.3, HERE)], []),
        ([("car", HERE), ("car", THERE)], [("car", 0.9, HERE)], [("not seen", "car", None, 1.0)]),
        ([("car", HERE), ("car", THERE)], [("car", 0.9, HERE), ("bus", 0.2, THERE)], [("not seen", "car", None, 0.8)]),
        ([("car", HERE), ("car", SMALL)], [("car", 0.9, HERE)], []),
        # A crowd with one label covers the motorcycle in it.
        ([("motorcycle", HERE)], [("motorcycle", 0.9, [0.1, 0.1, 0.2, 0.3]), ("motorcycle", 0.4, HERE)], []),
    ],
)
def test_labels_beside_detections(
    labels: list[tuple[str, list[float]]],
    found: list[tuple[str, float, list[float]]],
    wanted: list[tuple[str, str | None, str | None, float]],
) -> None:
    result = list(of_detections(labelled(*labels), seen(*found), INPUT, 0.6))
    assert [(str(s.kind), s.label, s.seen) for s in result] == [one[:3] for one in wanted]
    assert [s.weight for s in result] == pytest.approx([one[3] for one in wanted], abs=1e-3)


def test_ignored_labels_are_not_checked_and_excuse_detections_on_them() -> None:
    given_ = labelled(("other", HERE), ("car", THERE), ignored=True)
    assert list(of_detections(given_, seen(("truck", 0.9, HERE)), INPUT, 0.6)) == []


def test_two_labels_in_one_place() -> None:
    nearly = [0.1, 0.1, 0.4, 0.51]
    (result,) = of_labels(labelled(("car", HERE), ("truck", nearly), ("car", THERE)))
    assert (result.kind, result.label, result.seen) == ("double label", "car", "truck")
    assert list(of_labels(labelled())) == []


# --- riders


def motorcycle(*rows: list[float]) -> FloatArray:
    """Return the rows as boxes."""
    return np.array(rows, np.float32).reshape(-1, 4)


MACHINE, WHOLE = [100.0, 100.0, 140.0, 150.0], [100.0, 60.0, 140.0, 150.0]
RIDER = [105.0, 60.0, 135.0, 140.0]


def test_a_rider_above_the_box_is_left_out_and_one_within_is_not() -> None:
    assert rises(motorcycle(MACHINE), motorcycle(RIDER)).tolist() == [0.5]
    assert rises(motorcycle(WHOLE), motorcycle(RIDER)).tolist() == [0.0]
    assert rises(motorcycle(WHOLE), motorcycle(RIDER))[0] < RISEN < rises(motorcycle(MACHINE), motorcycle(RIDER))[0]


@pytest.mark.parametrize(
    "person",
    [
        [205.0, 60.0, 235.0, 140.0],  # beside it
        [105.0, 0.0, 135.0, 80.0],  # feet far above
        [105.0, 60.0, 135.0, 190.0],  # stands in front of it
        [118.0, 125.0, 122.0, 135.0],  # a far passer-by
    ],
)
def test_another_person_is_no_rider(person: list[float]) -> None:
    assert np.isnan(rises(motorcycle(MACHINE), motorcycle(person))).all()


def test_in_a_queue_each_rider_belongs_to_the_own_machine() -> None:
    """The feet of the rider behind are at the height of the machine in front, whose own rider is not detected."""
    front, behind = [100.0, 100.0, 140.0, 190.0], [100.0, 50.0, 140.0, 140.0]
    result = rises(motorcycle(front, behind), motorcycle([105.0, 50.0, 135.0, 130.0]))
    assert np.isnan(result[0])
    assert result[1] == 0


@given(st.integers(0, 4), st.integers(0, 4), st.floats(-50, 50), st.floats(0.5, 3))
def test_rises_do_not_depend_on_place_or_scale(n: int, m: int, shift: float, factor: float) -> None:
    random = np.random.default_rng(n * 5 + m)

    def some(count: int) -> FloatArray:
        corner = random.uniform(0, 60, (count, 2))
        return np.concatenate([corner, corner + random.uniform(10, 60, (count, 2))], 1).astype(np.float32)

    machines, people = some(n), some(m)
    result = rises(machines, people)
    moved = [np.asarray(boxes * factor + shift, np.float32) for boxes in (machines, people)]
    assert result.shape == (n,)
    np.testing.assert_allclose(rises(*moved), result, atol=1e-3)


def test_riders_are_checked_on_motorcycles_that_are_large_enough() -> None:
    """The detections are given: one rider on each of three machines of one picture."""
    machines = [[0.1, 0.5, 0.2, 0.8], [0.5, 0.5, 0.6, 0.8], [0.9, 0.5, 0.91, 0.55]]
    people = [[0.11, 0.3, 0.19, 0.75], [0.51, 0.5, 0.59, 0.75], [0.9, 0.45, 0.91, 0.54]]
    cars = labelled(("car", [0.3, 0.2, 0.4, 0.3]))
    pictures = [replace(sample("m", 2, machines, [1, 1, 1], camera="x"), aspect=16 / 9), cars]
    found = gather(
        pictures, Size(512, 288), lambda _: ModelDetections(Detections.empty(), np.array(people, np.float32)), 0.6
    )
    (result,) = found.of_kind("rider left out")
    assert result.box == pytest.approx(machines[0], abs=1e-5)
    assert result.weight == pytest.approx(0.2 / 0.45, abs=1e-3)
    assert found.rises_of("x") == pytest.approx([0.2 / 0.45, 0], abs=1e-3)
    assert found.boxes(1, "x").shape == (3, 2)
    assert found.boxes(1, "x")[0] == pytest.approx([51.2, 86.4], abs=0.1)


# --- repeats


def frame(name: str, camera: str, seed: int) -> Entry:
    """Return the index entry of a frame whose content depends on the seed."""
    return replace(entry(name, camera, inspect(encoded(seed)).fingerprint), sha256=f"{seed}")


def test_frames_in_which_everything_stands_still_count_once() -> None:
    still, moved = motorcycle(HERE, THERE), motorcycle(HERE, SMALL)
    entries = [frame("a", "x", 1), frame("b", "x", 1), frame("c", "x", 1), frame("d", "y", 1), frame("e", "y", 2)]
    result = duplicates(entries, [still, still, moved, still, still])
    assert result.distinct == {"x": 2, "y": 2}
    assert result.exact == (("a", "b"), ("a", "c"), ("a", "d"))
    assert {(pair.first, pair.second) for pair in result.across} == {(0, 3), (1, 3), (2, 3)}


# --- shapes


def test_a_stretched_picture_gets_its_shape_back_and_its_boxes_their_size() -> None:
    square = replace(sample(size=(90, 90)), aspect=16 / 9)
    assert scene(square).shape == (90, 160, 3)
    assert scene(sample(size=(160, 90))).shape == (90, 160, 3)
    assert scale(square, Size(512, 288)).tolist() == [512, 288]
    assert scale(replace(square, aspect=1.0), Size(512, 288)).tolist() == [288, 288]
    assert scale(replace(square, aspect=2.0), Size(512, 288)).tolist() == [512, 256]
