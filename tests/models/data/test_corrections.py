"""Test how boxes before and after a person's work are compared: rounding moves nothing, and each change counts once."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data import corrections, shards
from models.data.boxes import Boxes, as_rows, of_rows, of_sample, same
from models.data.corrections import Changes, Correction, changes, corrected, settled
from models.data.errors import DataError
from models.data.samples import CLASSES
from models.data.tfrecord import read_records
from tests.support.annotated import sample

SIZE = (960, 540)
HERE, THERE, FAR = [0.1, 0.1, 0.4, 0.5], [0.6, 0.5, 0.9, 0.9], [0.45, 0.1, 0.55, 0.2]


@st.composite
def labellings(draw: st.DrawFn) -> Boxes:
    """Draw the labels of a picture of 960x540 px; two of them may lie in one place."""
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        x0, y0 = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.9))
        width, height = draw(st.floats(0.01, 1 - x0)), draw(st.floats(0.01, 1 - y0))
        rows.append([draw(st.sampled_from(CLASSES)), x0, y0, x0 + width, y0 + height, draw(st.booleans())])
    return of_rows([*rows, *rows[: draw(st.integers(0, 2))]])


def labels(*rows: tuple[str, list[float]], ignored: bool = False) -> Boxes:
    """Return labels from rows of class and box."""
    return of_rows([[label, *box, ignored] for label, box in rows])


@given(labellings(), st.randoms())
def test_labels_that_were_rounded_and_came_in_another_order_have_not_changed(before: Boxes, random: object) -> None:
    side = np.array(SIZE * 2)
    rounded = (np.round(before.corners.astype(float) * side, 2) / side).astype(np.float32)
    order = list(range(len(rounded)))
    getattr(random, "shuffle")(order)  # noqa: B009
    after = settled(before, Boxes(rounded[order], before.classes[order], before.ignored[order]), SIZE)
    assert same(before, after)
    assert changes(before, after) == Changes()


@given(labellings(), labellings())
def test_no_box_of_the_person_gets_lost_and_none_is_made_up(before: Boxes, after: Boxes) -> None:
    found = settled(before, after, SIZE)
    assert sorted(found.classes.tolist()) == sorted(after.classes.tolist())
    side = np.array(SIZE * 2)
    near = np.abs((found.corners[:, None] - after.corners[None]) * side).max(axis=2) if len(after.corners) else None
    assert near is None or bool((near.min(axis=0) <= corrections.MOVED).all())
    counted = changes(before, found)
    assert len(before.corners) + counted.added - counted.removed == len(found.corners)


@given(labellings())
def test_labels_in_a_file_are_read_back_exactly(boxes: Boxes) -> None:
    again = of_rows(json.loads(json.dumps(as_rows(boxes))))
    assert again.corners.tolist() == boxes.corners.tolist()
    assert (again.classes.tolist(), again.ignored.tolist()) == (boxes.classes.tolist(), boxes.ignored.tolist())


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (labels(("car", HERE)), labels(), Changes(removed=1)),
        (labels(), labels(("car", HERE)), Changes(added=1)),
        (labels(("car", HERE)), labels(("bus", HERE)), Changes(reclassed=1)),
        (labels(("car", HERE)), labels(("car", [0.12, 0.1, 0.42, 0.5])), Changes(moved=1)),
        (labels(("car", HERE)), labels(("car", HERE), ignored=True), Changes(flagged=1)),
        (labels(("car", HERE)), labels(("car", FAR)), Changes(added=1, removed=1)),
        (labels(("car", HERE), ("car", THERE)), labels(("car", THERE)), Changes(removed=1)),
        (labels(("car", HERE), ("truck", HERE)), labels(("truck", HERE)), Changes(removed=1)),
    ],
)
def test_each_change_is_counted_once(before: Boxes, after: Boxes, wanted: Changes) -> None:
    assert changes(before, settled(before, after, SIZE)) == wanted


def chain(*states: Boxes) -> list[Correction]:
    """Return the corrections that lead from each state to the next."""
    return [Correction("a", "1", one, two) for one, two in pairwise(states)]


def test_corrections_follow_each_other_from_wherever_the_picture_is() -> None:
    first, second, third = labels(("car", HERE)), labels(("bus", HERE)), labels(("bus", HERE), ("car", FAR))
    picture = sample("a", 1, [HERE], [0])
    found, state = corrected(picture, chain(first, second, third))
    assert (as_rows(third), state) == (as_rows(of_sample(found)), "corrected")
    assert corrected(replace(picture, classes=np.array([2], np.int16)), chain(first, second, third))[1] == "corrected"
    assert corrected(found, chain(first, second, third))[1] == "already"
    assert corrected(found, chain(first, second)) == (found, "conflict")
    assert corrected(picture, [*chain(first, second), *chain(first, third)]) == (picture, "conflict")
    assert corrected(picture, []) == (picture, "untouched")
    rounded = replace(picture, boxes=picture.boxes + np.float32(1e-4))  # 0.006 px of 64
    assert corrected(rounded, chain(first, second))[1] == "corrected"


def test_files_of_corrections_are_numbered_and_read_in_their_order(tmp_path: Path) -> None:
    first, second, third = labels(("car", HERE)), labels(("bus", HERE)), labels()
    for number, one in enumerate(chain(first, second, third), start=1):
        assert corrections.write(tmp_path, "folder/näme of it.zip", [one]).name == f"{number:04d}-n-me-of-it.json"
    known = corrections.read(tmp_path)["1"]
    assert [as_rows(one.after) for one in known] == [as_rows(second), as_rows(third)]
    (tmp_path / "0003-x.json").write_text('{"schema": "edge-app/corrections/1", "pictures": [{"name": "a"}]}')
    with pytest.raises(DataError, match=r"0003-x\.json is no file of corrections"):
        corrections.read(tmp_path)


def test_other_labels_replace_those_of_one_record_alone(tmp_path: Path) -> None:
    made = [sample(name, seed, [HERE], [0]) for seed, name in enumerate("abcd", start=1)]
    index = shards.write(tmp_path, made, per_shard=2)
    before = [list(read_records(path)) for path in index.files]
    untouched = (tmp_path / "part-00001.tfrecord").stat()
    again = shards.relabel(index, {"b": labels(("bus", THERE))})
    after = [list(read_records(path)) for path in index.files]
    assert (before[0][0], before[1]) == (after[0][0], after[1])
    assert (tmp_path / "part-00001.tfrecord").stat() == untouched
    assert shards.read_index(tmp_path) == again
    assert [entry.counts["bus"] for entry in again.entries] == [0, 1, 0, 0]
    shards.verify(again)
    whole = shards.write(tmp_path / "new", shards.read(index.files), per_shard=2)
    assert [one.sha256 for one in whole.shards] == [one.sha256 for one in again.shards]
