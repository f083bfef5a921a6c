"""Test folds: what one holds back teaches nothing there, each training is made once, and the table is the mean."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from models.common import fold_table
from models.common.errors import BuildError
from models.cycle.step import Command
from models.data import shards
from models.data.shards import Entry
from models.folds import collecting, description, running
from models.folds.__main__ import ROADS, main
from models.folds.judging import Figure
from models.folds.running import FoldResult
from models.folds.table import means, slices, table
from tests.support.annotated import entry as entry_of
from tests.support.annotated import sample
from tests.support.paths import ARTEFACTS

FOLDS = """
schema = "edge-app/folds/1"
never = ["CC-BY-SA-2.0"]
[fold.north]
test = ["north-*"]
validation = ["south-1"]
[fold.south]
test = ["south-*"]
validation = ["north-1"]
[slice.second]
cameras = ["*-2"]
[slice.night]
light = ["night"]
"""
MODEL = ARTEFACTS / "ssdlite_mobilenet_v2_300x300.tflite"


@pytest.fixture
def folds(tmp_path: Path) -> Path:
    """Return a file with two folds."""
    path = tmp_path / "folds.toml"
    path.write_text(FOLDS)
    return path


def entry(camera: str, licence: str = "MIT") -> Entry:
    """Return a picture of a camera."""
    return replace(entry_of(camera, camera), licence=licence)


ENTRIES = [entry(f"{place}-{i}") for place in ("north", "south") for i in range(1, 4)]


def test_what_a_fold_holds_back_neither_trains_nor_validates(folds: Path) -> None:
    shared = replace(entry("south-4"), licence="CC-BY-SA-2.0")
    made = description.split(description.read(folds), "north", [*ENTRIES, shared])
    assert made.train == ("south-2", "south-3")
    assert made.validation == ("south-1",)
    assert made.test == ("north-1", "north-2", "north-3", "south-4"), "a licence that may never teach does not"
    held = description.held_back(description.read(folds), [*ENTRIES, shared])["north"]
    assert held == {"north-1", "north-2", "north-3"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('["south-*"]', '["north-*"]'), "north-* is held back in two folds"),
        (('test = ["south-*"]', "test = []"), "too_short|at least 1"),
        (("folds/1", "folds/2"), "schema"),
        (("[fold.north]", "[fold.north"), "cannot be read"),
    ],
)
def test_impossible_folds_are_a_sentence(folds: Path, change: tuple[str, str], sentence: str) -> None:
    folds.write_text(FOLDS.replace(*change))
    with pytest.raises(BuildError) as error:
        description.read(folds)
    assert any(part in str(error.value) for part in sentence.split("|"))


def test_a_camera_that_no_fold_holds_back_is_named(folds: Path) -> None:
    with pytest.raises(BuildError, match="Camera west-1 is held back in no fold"):
        description.split(description.read(folds), "north", [*ENTRIES, entry("west-1")])


def test_every_picture_that_we_train_on_is_held_back_in_one_fold() -> None:
    known = description.read(ROADS)
    cameras = ["luongduc-05", "hanoi", "itsqal", "nepal__1", "tolljkt", "bogor-01", "openimg__a", "gdansk", "ph_1"]
    assert sorted(known.fold) == ["europe-and-americas", "indonesia", "south-asia", "vietnam"]
    found = description.held_back(known, [entry(name) for name in cameras])
    assert sum(map(len, found.values())) == len(cameras)


def test_each_training_is_made_once_and_judged_by_what_was_held_back(
    tmp_path: Path, folds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trainings themselves are those of `models.training`; here a file stands in for what they export."""
    cameras = ("north-1", "south-1", "north-2", "south-2")
    drawn = [sample(f"p{i}", i, [(0.2, 0.2, 0.6, 0.8)], [0], camera=camera) for i, camera in enumerate(cameras)]
    shards.write(tmp_path / "shards", iter(drawn))
    recipe = tmp_path / "plain.json"
    recipe.write_text('{"steps": 3}')
    ran: list[tuple[str, str]] = []

    def call(command: Command, folder: Path, _lock: int) -> None:
        ran.append((command.words[0], folder.name))
        if command.words[0] == "export":
            shutil.copytree(ARTEFACTS, folder / "exported", ignore=shutil.ignore_patterns("*512*", "*640*", "*/"))

    arguments = (description.read(folds), ["north", "south"], [recipe], [1], [tmp_path / "shards"], tmp_path / "out")
    first = running.run(*arguments, print, call)
    assert ran == [(word, f"{place}-1") for place in ("north", "south") for word in ("train", "export")]
    assert first[0].figures["car"].boxes == 2, "the pictures of the north judge the fold that holds them back"
    assert first[0].slices["second"]["car"].boxes == 1, "one camera of two"
    assert running.run(*arguments, print, call) == first
    assert len(ran) == 4
    recipe.write_text('{"steps": 4}')
    with pytest.raises(BuildError, match="give the recipe another name"):
        running.run(*arguments, print, call)
    capsys.readouterr()
    words = [str(tmp_path / "out"), "--folds", str(folds), "--shards", str(tmp_path / "shards"), "--judge", str(MODEL)]
    assert main(words) == 0
    assert sorted(one.recipe for one in running.found(tmp_path / "out")) == ["plain"] * 2 + [MODEL.stem] * 2


def result(fold: str, seed: int, boxes: int, ap50: float) -> FoldResult:
    """Return a result with cars alone."""
    return FoldResult("plain", {}, fold, seed, "", "", {"car": Figure(boxes, ap50)})


def test_the_mean_is_over_folds_with_enough_boxes_and_its_spread_over_seeds() -> None:
    results = [result("a", 1, 40, 0.4), result("b", 1, 40, 0.6), result("c", 1, 39, 0.9)]
    assert means(results)["car"].ap50 == pytest.approx(0.5)
    results += [result("a", 2, 40, 0.5), result("b", 2, 40, 0.7)]
    mean = means(results)["car"]
    assert mean.by_fold == pytest.approx({"a": 0.45, "b": 0.65})
    assert mean.spread == pytest.approx(0.0707, abs=1e-4)
    assert "| plain | car | 0.450 | 0.650 | - | **0.550** | 0.071 | 2 |" in table(results)


def test_slices_have_tables_of_their_own_and_the_same_rule_of_enough_boxes() -> None:
    results = [replace(result("a", 1, 90, 0.4), slices={"night": {"car": Figure(40, 0.25), "bus": Figure(3, 0.9)}})]
    assert "night:" in slices(results)
    assert "| plain | car | 0.250 | **0.250** | - | 1 |" in slices(results)
    assert "bus" not in slices(results), "3 boxes say nothing"
    assert not slices([result("a", 1, 90, 0.4)])


def test_a_result_that_is_none_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r" / "f").mkdir(parents=True)
    (tmp_path / "r" / "f" / "figures.json").write_text(json.dumps({"schema": "x"}))
    assert main([str(tmp_path)]) == 1
    assert "is no result of a fold" in capsys.readouterr().err


def both(**changes: object) -> list[FoldResult]:
    """Return the results of two recipes in two folds with two seeds; changes: of the last of the second recipe."""
    made = [
        FoldResult(recipe, {"steps": 800}, fold, seed, "p", "", {"car": Figure(40, ap50), "bus": Figure(3, 0.1)})
        for recipe, ap50 in (("today", 0.4), ("wider", 0.5))
        for fold in ("a", "b")
        for seed in (1, 2)
    ]
    return [*made[:-1], replace(made[-1], **changes)]  # type: ignore[arg-type]


def test_a_recipe_and_its_baseline_become_one_table(tmp_path: Path) -> None:
    for one in both():
        file = tmp_path / "out" / one.recipe / f"{one.fold}-{one.seed}" / "figures.json"
        file.parent.mkdir(parents=True)
        figures = {label: {"boxes": row.boxes, "ap50": row.ap50} for label, row in one.figures.items()}
        fields = ("recipe", "settings", "fold", "seed", "pictures", "code")
        file.write_text(json.dumps({name: getattr(one, name) for name in fields} | {
            "schema": "edge-app/fold/1", "figures": figures,
        }))  # fmt: skip
    words = [str(tmp_path / "out"), "--collect", str(tmp_path / "new" / "folds.json")]
    assert main([*words, "--candidate", "wider", "--baseline", "today"]) == 0
    found = fold_table.read(tmp_path / "new" / "folds.json")
    assert (found.steps, found.seeds, found.candidate.name) == (800, (1, 2), "wider")
    assert found.mean(found.candidate, "car") == pytest.approx(0.5)
    assert found.mean(found.baseline, "car") == pytest.approx(0.4)
    assert found.candidate.spread["car"] == pytest.approx(0)
    assert found.mean(found.candidate, "bus") is None, "3 boxes say nothing"
    assert main([*words, "--candidate", "other", "--baseline", "today"]) == 1
    with pytest.raises(SystemExit):
        main(words)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"fold": "c"}, "folds and seeds"),
        ({"seed": 3}, "folds and seeds"),
        ({"pictures": "q"}, "pictures"),
        ({"settings": {"steps": 1600}}, "steps"),
        ({"figures": {"car": Figure(41, 0.5), "bus": Figure(3, 0.1)}}, "labelled boxes"),
    ],
)
def test_recipes_that_were_trained_on_different_things_are_not_compared(changes: dict[str, object], what: str) -> None:
    with pytest.raises(BuildError, match=f"wider and today have different {what}"):
        collecting.collect(both(**changes), "wider", "today")


def test_one_fold_is_no_mean() -> None:
    with pytest.raises(BuildError, match="one fold alone"):
        collecting.collect([one for one in both() if one.fold == "a"], "wider", "today")


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "edge-app/fold/1"},
        {"boxes": None},
        {"boxes": {"car": {"a": True}}},
        {"steps": -1},
        {"candidate": {"recipe": "wider", "classes": {}}},
        {"baseline": {"recipe": "today", "classes": {"car": {"folds": {"a": 1.7, "b": 0.4}}}}},
    ],
)
def test_a_table_that_is_not_whole_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "folds.json"
    file.write_text(json.dumps(collecting.collect(both(), "wider", "today") | change))
    with pytest.raises(BuildError, match="is no table of folds"):
        fold_table.read(file)
