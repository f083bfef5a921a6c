"""Test a whole small training on drawn pictures: it learns, continues after it was ended, and its file loads."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from edge_app.detectors.tflite import TfliteDetector
from models.conversion.anchors import Size
from models.conversion.quantisation import Recipe
from models.data import drawn, shards
from models.registry.lineage import parse_lineage
from models.training import outcome, runs, scenes, weights
from models.training.architecture import BACKBONE
from models.training.folder import RunFolder
from models.training.loop import Progress, Training, plan_of
from models.training.losses import Losses
from models.training.outcome import DivergedError
from models.training.settings import Settings
from tests.support.weights import random_weights

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed (make smoke)"
    ),
    pytest.mark.timeout(600),
]

SETTINGS = Settings(
    width=192,
    height=128,
    batch=4,
    steps=60,
    warm_up=10,
    rate=1e-3,
    frozen_blocks=0,
    precision="float32",
    judge_every=30,
    save_every=10,
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> scenes.Parts:
    """Return two drawn cameras, one that trains and one that validates, read from shards."""
    folder = tmp_path_factory.mktemp("shards")
    shards.write(folder, drawn.samples(24, seed=5))
    split = folder / "split.json"
    parts = {"train": ["street-day-5"], "validation": ["street-cycle-6"], "test": []}
    split.write_text(json.dumps({"schema": "edge-app/split/1", "command": "test", **parts}))
    return scenes.read([folder], split)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, parts: scenes.Parts) -> tuple[RunFolder, list[float]]:
    """Return a run that was ended after 20 steps and continued, and its losses step by step."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "smoke")
    first = random_weights(plan_of(SETTINGS))
    rows = scenes.lineage(parts.training, "train") + scenes.lineage(parts.validation, "validation")
    folder.begin(SETTINGS, {"data": rows, "parent": {"sha256": weights.digest(first), "from": "drawn"}})
    (folder.path / "code.txt").write_text("test\n")
    seen: list[Losses] = []

    def quiet(_: Progress) -> None:
        return

    def remembering(training: Training) -> Training:
        take = training._take_step
        training._take_step = lambda batch: seen.append(take(batch)) or seen[-1]  # type: ignore[func-returns-value,method-assign]
        return training

    before = remembering(Training(folder, SETTINGS, parts, first, {}))
    before.run(quiet, stop=lambda: before.step >= 20)
    assert before.step == 20
    after = remembering(Training(folder, SETTINGS, parts, first, {}))
    assert after.step == 20
    after.run(quiet)
    assert after.step == SETTINGS.steps
    return folder, [one.total for one in seen]


def test_the_loss_falls(trained: tuple[RunFolder, list[float]]) -> None:
    _, losses = trained
    assert len(losses) == SETTINGS.steps
    assert np.isfinite(losses).all()
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_the_folder_records_the_progress(trained: tuple[RunFolder, list[float]]) -> None:
    folder, _ = trained
    rows = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "validation" in row] == [0, 30, 60]
    assert all(0 <= row["validation"]["score"] <= 1 for row in rows if "validation" in row)
    reported = [row for row in rows if "losses" in row]
    assert [row["step"] for row in reported] == [25, 50]
    assert all(sum(row["losses"].values()) == pytest.approx(row["loss"]) for row in reported)
    assert folder.weights.exists()
    assert runs.read("smoke", folder).state == "ended"


def test_the_board_has_each_loss_apart_and_pictures_from_the_start_on(trained: tuple[RunFolder, list[float]]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(trained[0].board), size_guidance={"tensors": 0})
    board.Reload()
    assert {"loss/total", "loss/class", "loss/box", "validation/score", "validation"} <= set(board.Tags()["tensors"])
    assert not {"loss/distil", "loss/pull"} & set(board.Tags()["tensors"]), "a part that is not there has no curve"
    assert [event.step for event in board.Tensors("validation/score")] == [0, 30, 60]
    pictures = board.Tensors("validation")
    assert [event.step for event in pictures] == [0, 30, 60]
    width, height = (int(text) for text in pictures[0].tensor_proto.string_val[:2])
    assert width > 2 * SETTINGS.width
    assert height > SETTINGS.height


def test_a_loss_that_is_no_number_is_kept_in_the_folder(parts: scenes.Parts, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"rate": 1e30, "warm_up": 0, "steps": 10})
    folder = RunFolder(tmp_path / "lost")
    folder.begin(settings, {})
    with pytest.raises(DivergedError, match="the loss is"):
        Training(folder, settings, parts, random_weights(plan_of(settings)), {}).run(lambda _: None)
    assert outcome.state(folder, settings) == "diverged"


def test_a_training_of_no_steps_judges_what_it_begins_with(parts: scenes.Parts, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"steps": 0})
    first = random_weights(plan_of(settings))
    folder = RunFolder(tmp_path / "mixture")
    folder.begin(settings, {})
    Training(folder, settings, parts, first, {}).run(lambda _: None)
    assert weights.digest(weights.load(folder.weights)) == weights.digest(first)
    assert [one.step for one in outcome.judgements(folder.metrics())] == [0]


def test_a_pull_keeps_the_backbone_near_the_published_one(parts: scenes.Parts, tmp_path: Path) -> None:
    first = random_weights(plan_of(SETTINGS))
    published = random_weights(plan_of(SETTINGS), seed=1)
    ends = {}
    for pull in (0.0, 0.5):
        settings = SETTINGS.model_copy(update={"pull": pull, "steps": 4, "judge_every": 4, "warm_up": 0})
        folder = RunFolder(tmp_path / str(pull))
        folder.begin(settings, {})
        Training(folder, settings, parts, first, {}, published).run(lambda _: None)
        ends[pull] = weights.load(folder.last)

    def away(found: weights.Weights, part: str) -> float:
        return float(sum(np.abs(found[name] - published[name]).sum() for name in found if name.startswith(part)))

    assert away(ends[0.5], BACKBONE) < 0.5 * away(ends[0.0], BACKBONE)
    assert away(ends[0.5], "BoxPredictor") > 0.9 * away(ends[0.0], "BoxPredictor")


def test_the_file_loads_on_a_device_and_says_where_it_comes_from(
    trained: tuple[RunFolder, list[float]], parts: scenes.Parts, tmp_path: Path
) -> None:
    from models.training.export import export, fitted

    folder, _ = trained
    best = weights.load(folder.weights)
    fits = fitted(folder, best, parts.validation)
    for size, bicycles in ((SETTINGS.size, False), (Size(160, 96), True)):
        model, plain = export(
            folder,
            best,
            parts.training,
            tmp_path / str(size),
            quantisation=Recipe(pictures=4),
            fits=fits,
            size=size,
            bicycles=bicycles,
        )
        image = scenes.decoded(parts.validation[0]).image
        for path in (model, plain):
            detector = TfliteDetector(path, score=0.0001)
            assert (detector.manifest.input.width, detector.manifest.input.height) == size
            assert ("bicycle" in detector.manifest.counts) == bicycles
            detector.detect(image)
            detector.close()
        manifest = json.loads(model.with_suffix(".json").read_text())
        training = parse_lineage(manifest).training
        assert training is not None
        assert {one.licence for one in training.data} == {drawn.LICENCE}
        assert training.run == "smoke"
        assert model.stat().st_size < 0.4 * plain.stat().st_size
