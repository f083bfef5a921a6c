"""Test how two labellings of the same pictures are compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.common.errors import BuildError
from models.data import shards
from models.data.agreement import COMPARED, ap50, compare, disputed, pairs, result
from models.data.commands import main
from models.data.errors import DataError
from models.data.samples import CLASSES, Sample
from models.evaluation import ceiling
from tests.support.annotated import sample

HERE, THERE, SHIFTED, FAR = [0.1, 0.1, 0.3, 0.3], [0.6, 0.6, 0.8, 0.8], [0.12, 0.12, 0.32, 0.32], [0.4, 0.1, 0.5, 0.2]


def labelled(*rows: tuple[str, list[float]], name: str = "a", ignored: tuple[int, ...] = ()) -> Sample:
    """Return a picture from rows of class and box."""
    flags = [i in ignored for i in range(len(rows))]
    return sample(name, 1, [box for _, box in rows], [CLASSES.index(label) for label, _ in rows], flags)


def found(one: Sample, two: Sample) -> dict[str, Any]:
    """Return the agreement of one picture."""
    return result(compare([(one, two)]), ("A", "B"))


def test_the_same_labels_agree_in_everything() -> None:
    one = labelled(("car", HERE), ("bicycle", THERE))
    content = found(one, one)
    assert {label: (row["ap50"], row["f1"]) for label, row in content["classes"].items()} == {
        "car": (1.0, 1.0),
        "bicycle": (1.0, 1.0),
    }
    assert content["mean_iou"] == 1.0
    assert content["confusion"] == []


@pytest.mark.parametrize(
    ("first", "second", "agreed", "only_first", "only_second", "confusion"),
    [
        ([("car", HERE)], [("car", SHIFTED)], 1, 0, 0, []),
        ([("car", HERE)], [("car", FAR)], 0, 1, 1, []),
        ([("car", HERE)], [], 0, 1, 0, []),
        ([("car", HERE), ("car", THERE)], [("car", THERE)], 1, 1, 0, []),
        ([("car", HERE)], [("truck", SHIFTED)], 0, 0, 0, [("car", "truck", 1)]),
        ([("car", HERE), ("car", SHIFTED)], [("car", SHIFTED)], 1, 1, 0, []),
    ],
)
def test_what_differs_is_told_apart(
    first: list[tuple[str, list[float]]],
    second: list[tuple[str, list[float]]],
    agreed: int,
    only_first: int,
    only_second: int,
    confusion: list[tuple[str, str, int]],
) -> None:
    content = found(labelled(*first), labelled(*second))
    row = content["classes"]["car"]
    assert (row["agreed"], row["only_first"], row["only_second"]) == (agreed, only_first, only_second)
    assert [(one["first"], one["second"], one["boxes"]) for one in content["confusion"]] == confusion


@pytest.mark.parametrize("side", [0, 1])
def test_boxes_on_what_one_side_ignores_count_for_nobody(side: int) -> None:
    whole = [0.05, 0.05, 0.4, 0.4]
    sides = [labelled(("other", whole), ("car", THERE), ignored=(0,)), labelled(("car", HERE), ("car", THERE))]
    row = found(*sides[:: 1 - 2 * side])["classes"]["car"]
    assert (row["first"], row["second"], row["agreed"]) == (1, 1, 1)


def test_overlaps_are_measured_in_the_true_shape() -> None:
    """The same corners overlap alike in any shape, so the shape must not change what agrees."""
    one, two = labelled(("car", HERE)), labelled(("car", SHIFTED))
    wide = [replace(each, aspect=5.0) for each in (one, two)]
    assert found(one, two)["mean_iou"] == pytest.approx(found(*wide)["mean_iou"], abs=1e-4)


def test_ap50_of_boxes_without_scores() -> None:
    assert ap50(10, 10, 10) == pytest.approx(1)
    assert ap50(0, 10, 10) == 0
    assert ap50(5, 10, 10) == pytest.approx(0.5 * 51 / 101)
    assert ap50(5, 10, 5) == pytest.approx(51 / 101)
    assert np.isnan(ap50(0, 0, 3))


boxes = st.lists(st.tuples(st.sampled_from(COMPARED), st.sampled_from([HERE, THERE, SHIFTED, FAR])), max_size=5)


@given(boxes, boxes)
@settings(deadline=None, max_examples=60)
def test_agreement_is_the_same_from_both_sides(first: Any, second: Any) -> None:
    one, two = labelled(*first), labelled(*second)
    forth, back = compare([(one, two)]), compare([(two, one)])
    assert forth.agreed.tolist() == back.agreed.tolist()
    assert forth.confused.sum() == back.confused.sum()
    for row in result(forth, ("A", "B"))["classes"].values():
        assert 0 <= row["agreed"] <= min(row["first"], row["second"])
        assert 0 <= row["ap50"] <= 1
        assert min(row["only_first"], row["only_second"]) >= 0


def test_pictures_are_paired_by_bytes_then_by_name_and_one_in_common_is_needed() -> None:
    one, renamed = labelled(name="a"), replace(labelled(), name="b")
    other = sample("a", 2)
    assert [(x.name, y.name) for x, y in pairs([one], [renamed])] == [("a", "b")]
    assert [(x.name, y.name) for x, y in pairs([one], [other])] == [("a", "a")]
    with pytest.raises(DataError, match="no picture in common"):
        pairs([one], [sample("c", 3)])


def test_the_most_disputed_pictures_come_first() -> None:
    good = (labelled(("car", HERE), name="good"), labelled(("car", HERE), name="good"))
    bad = (labelled(("car", HERE), ("car", THERE), name="bad"), labelled(("truck", HERE), name="bad"))
    assert disputed(compare([good, bad]), [good, bad]) == [("bad", 3)]


def test_the_command_writes_what_the_report_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards.write(tmp_path / "one", [labelled(("car", HERE), ("car", THERE)), sample("alone", 5)])
    shards.write(tmp_path / "two", [labelled(("car", SHIFTED), ("truck", THERE))])
    out = tmp_path / "agreement.json"
    assert main(["agree", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "car in one is truck in two: 1 boxes" in shown.out
    assert "2 boxes disputed in a" in shown.out
    assert "1 pictures are in both sets (2 and 1)" in shown.err
    limit = ceiling.read(out)
    assert limit.ap50["car"] == json.loads(out.read_text())["classes"]["car"]["ap50"]
    assert limit.about == "1 pictures, labelled as one and as two"
    assert ceiling.read(None).ap50 == {}
    assert main(["agree", str(tmp_path / "one"), str(tmp_path / "nowhere")]) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"schema": "x"}', '{"schema": "edge-app/agreement/1"}'])
def test_another_file_is_no_ceiling(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(BuildError, match="is not what"):
        ceiling.read(path)
