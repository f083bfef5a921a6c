"""Detectors: what every one of them promises, where boxes lie, and every way in which a model can be wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_app.detectors import Detector, tflite
from edge_app.detectors.letterbox import letterbox
from edge_app.detectors.manifest import default_model
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import DetectorError
from edge_app.records import LABELS, VEHICLES, Detections, Image
from edge_app.sources.street.street import Street
from tests.support.paths import ARTEFACTS

MODELS = sorted(ARTEFACTS.glob("*.tflite"))
MODEL = default_model()
Box = tuple[float, float, float, float]
Made = dict[str, Any]

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason=f"no {MODEL.name}: build it as models/ says")
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)


@lru_cache(len(MODELS))
def detector(model: Path = MODEL) -> TfliteDetector:
    return TfliteDetector(model, threads=1, score=0.35)


@lru_cache(1)
def scene() -> tuple[Image, Box]:
    """A rendered picture with a car whole and in its middle, and the car's box."""
    street = Street(pace="fast", flow=(20.0, 0.0), mix={"car": 1.0}, fps=5.0)
    for _ in range(300):
        frame = street.read(0)
        for _, _, box in street.boxes():
            if frame is not None and abs(box[0] + box[2] - frame.size[0]) < 200:
                return frame.image, box
    raise AssertionError("the street has no car")


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def best(found: Detections, box: Box) -> Box:
    """Of the boxes found the one that fits best."""
    rows: list[Box] = [(x0, y0, x1, y1) for x0, y0, x1, y1 in found.boxes.tolist()]
    return max(rows, key=lambda row: overlap(row, box))


def same(a: Detections, b: Detections) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("boxes", "scores", "classes"))


@every_model
class TestContract:
    """What every Detector does, shown with each that ships."""

    def test_finds_a_car_where_it_is(self, model: Path) -> None:
        image, box = scene()
        found: Detections = detector(model).detect(image)
        assert overlap(best(found, box), box) > 0.6

    def test_only_vehicles_strongest_first_above_the_score(self, model: Path) -> None:
        found = detector(model).detect(scene()[0])
        assert {LABELS[i] for i in found.classes} <= set(VEHICLES)
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        assert ((found.scores >= 0.349) & (found.scores <= 1)).all()

    def test_the_same_picture_gives_the_same_detections(self, model: Path) -> None:
        image, _ = scene()
        first = detector(model).detect(image)
        detector(model).detect(np.ascontiguousarray(image[::-1]))
        assert same(first, detector(model).detect(image))

    def test_the_picture_is_only_read_and_may_be_a_view(self, model: Path) -> None:
        image = scene()[0].copy()
        before, whole = image.copy(), detector(model).detect(image)
        image.setflags(write=False)
        wide = np.zeros((image.shape[0], image.shape[1] + 100, 3), np.uint8)
        wide[:, 50:-50] = image
        assert same(whole, detector(model).detect(image))
        assert same(whole, detector(model).detect(wide[:, 50:-50]))
        assert np.array_equal(image, before)

    def test_earlier_detections_are_not_overwritten(self, model: Path) -> None:
        found = detector(model).detect(scene()[0])
        kept = found.boxes.copy()
        detector(model).detect(np.full((720, 1280, 3), 128, np.uint8))
        assert np.array_equal(found.boxes, kept)

    @pytest.mark.parametrize("grey", [0, 64, 128, 255])
    def test_a_plain_picture_has_no_vehicles(self, model: Path, grey: int) -> None:
        assert len(detector(model).detect(np.full((480, 640, 3), grey, np.uint8))) == 0

    @pytest.mark.parametrize("size", [(320, 240), (1920, 1080), (1280, 300), (405, 720), (511, 301), (33, 17)])
    def test_boxes_lie_inside_pictures_of_any_size(self, model: Path, size: tuple[int, int]) -> None:
        """Width and height; from street to letter box to thumbnail."""
        found = detector(model).detect(np.asarray(cv2.resize(scene()[0], size), np.uint8))
        assert (found.boxes >= 0).all()
        assert (found.boxes <= np.tile(size, 2)).all()
        assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()

    def test_close_may_be_called_twice(self, model: Path) -> None:
        one: Detector = TfliteDetector(model, threads=1)
        one.close()
        one.close()


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (2000, 1), (1, 2000), (3, 4000), (4000, 3)])
def test_pictures_of_hardly_any_pixels(shape: tuple[int, int]) -> None:
    assert len(detector().detect(np.full((*shape, 3), 90, np.uint8))) == 0


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_ends_of_the_range_of_scores(score: float) -> None:
    found = TfliteDetector(MODEL, threads=1, score=score).detect(scene()[0])
    assert (len(found) > 20) == (score == 0)


@pytest.mark.parametrize("factor", [0.5, 0.75, 2.0])
def test_a_picture_of_another_size_has_the_same_car_there(factor: float) -> None:
    image, box = scene()
    x0, y0, x1, y1 = best(detector().detect(image), box)
    there = (factor * x0, factor * y0, factor * x1, factor * y1)
    scaled = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    assert overlap(best(detector().detect(scaled), there), there) > 0.8


def test_frames_crisper_than_a_model_knows_are_softened_and_smaller_ones_are_not() -> None:
    grain = np.random.default_rng(1).integers(0, 256, (540, 960, 3), np.uint8)
    plain, soft = letterbox(grain, 512, 288, 128), letterbox(grain, 512, 288, 128, 0.9375)
    assert soft.pixels.std() < 0.9 * plain.pixels.std()
    assert (soft.scale, soft.left, soft.top) == (plain.scale, plain.left, plain.top)
    # 480 px wide, as much as it is allowed: nothing is taken away.
    small = letterbox(grain[::2, ::2], 512, 288, 128, 0.9375)
    np.testing.assert_array_equal(small.pixels, letterbox(grain[::2, ::2], 512, 288, 128).pixels)


def test_a_softened_edge_stays_where_it_was() -> None:
    half = np.zeros((720, 1280, 3), np.uint8)
    half[:, 640:] = 255
    row = letterbox(half, 512, 288, 128, 0.9375).pixels[0, 144, :, 0].astype(float)
    assert row[:252].max() == 0
    assert row[260:].min() == 255
    assert row.mean() == pytest.approx(127.5, abs=0.5)


def test_margins_shift_nothing() -> None:
    """A narrow part of the picture is centred on grey; the same grey in the picture itself gives the same input, save
    for what softening mixes along its edges."""
    image, _ = scene()
    part, canvas = image[:, 240:1040], np.full_like(image, 128)
    canvas[:, 240:1040] = part
    alone, pasted = detector().detect(part), detector().detect(canvas)
    assert len(alone)
    assert np.allclose(alone.boxes + np.array([240, 0, 240, 0], np.float32), pasted.boxes, atol=2)
    assert np.allclose(alone.scores, pasted.scores, atol=0.05)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (100, 200), (230, 60)])
def test_the_same_content_in_a_larger_picture_gives_shifted_boxes(left: int, top: int) -> None:
    """Both a tall picture, with margins left and right, and a wide one, with margins above and below."""
    image, box = scene()
    x0, y0, x1, y1 = best(detector().detect(image), box)
    there = (x0 + left, y0 + top, x1 + left, y1 + top)
    for width, height in ((1280 + 230, 720 + 500), (1280 + 600, 720 + 200)):
        canvas = np.full((height, width, 3), 128, np.uint8)
        canvas[top : top + 720, left : left + 1280] = image
        assert overlap(best(detector().detect(canvas), there), there) > 0.7


def manifest() -> Made:
    """As that of a candidate: the record of the gate speaks of the shipped file alone."""
    content: Made = json.loads(MODEL.with_suffix(".json").read_text("utf-8"))
    return {key: value for key, value in content.items() if key not in ("stage", "gate")}


def put(folder: Path, model: bytes | None, described: Made | bytes | None) -> Path:
    """A model with its manifest; a manifest given as a record gets the right hash."""
    path = folder / "other.tflite"
    if model is not None:
        path.write_bytes(model)
    if isinstance(described, dict):
        described = json.dumps({"sha256": hashlib.sha256(model or b"").hexdigest(), **described}).encode()
    if described is not None:
        path.with_suffix(".json").write_bytes(described)
    return path


def refused(model: Path, names: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which a model is refused: it names the file, and nothing else is printed."""
    with pytest.raises(DetectorError) as refusal:
        TfliteDetector(model)
    assert capfd.readouterr() == ("", "")
    message = str(refusal.value)
    assert str(names) in message
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def without_hash() -> Made:
    content = manifest()
    del content["sha256"]
    return content


def test_a_missing_model(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, None, manifest())
    assert "cannot read the model" in refused(path, path, capfd)


@pytest.mark.parametrize("cut", [0, 8, 100_000, -1])
def test_a_truncated_model(cut: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, MODEL.read_bytes()[:cut], manifest())
    assert "not the file its manifest describes" in refused(path, path, capfd)


def test_a_model_of_the_wrong_hash(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = bytearray(MODEL.read_bytes())
    content[len(content) // 2] ^= 1
    path = put(tmp_path, bytes(content), manifest())
    assert "damaged or was replaced" in refused(path, path, capfd)


@pytest.mark.parametrize("content", [b"", b"no model at all " * 99, b"\x1c\0\0\0TFL3" + b"\1" * 999, "half"])
def test_garbage_with_a_matching_hash(content: bytes | str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = MODEL.read_bytes()[:1_800_000] if isinstance(content, str) else content
    path = put(tmp_path, model, without_hash())
    assert "cannot load the model" in refused(path, path, capfd)


@pytest.mark.skipif(len(MODELS) < 2, reason="one model only: build the others as models/ says")
def test_a_manifest_of_a_model_of_another_size(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    other = next(model for model in MODELS if model.name != MODEL.name)
    path = put(tmp_path, other.read_bytes(), without_hash())
    assert "do not fit" in refused(path, path, capfd)


def turned(m: Made) -> None:
    m["input"]["width"], m["input"]["height"] = m["input"]["height"], m["input"]["width"]


LIES: dict[str, tuple[Callable[[Made], object], str]] = {
    "width and height exchanged": (turned, "do not fit"),
    "one label too few": (lambda m: m["labels"].pop(), "need"),
    "one label too many": (lambda m: m["labels"].append("car"), "need"),
    "an unknown label": (lambda m: m.update(labels=["zebra"] * 6), "zebra"),
    "no labels": (lambda m: m.update(labels=[]), "labels must be"),
    "no vehicle among the labels": (lambda m: m.update(labels=["person"] * 6), "must name a vehicle"),
    "an output that is not there": (lambda m: m["outputs"][0].update(name="elsewhere"), "no output 'elsewhere'"),
    "an output twice": (lambda m: m["outputs"][1].update(name=m["outputs"][0]["name"]), "need"),
    "boxes for scores": (lambda m: m["outputs"][0].update(role="scores"), "outputs: one tensor"),
    "an output too few": (lambda m: m["outputs"].pop(), "outputs: one tensor"),
    "no outputs": (lambda m: m.update(outputs=[]), "outputs: one tensor"),
    "anchors of another stride": (lambda m: m["anchors"]["layers"][0].update(stride=13), "anchors"),
    "an anchor too few": (lambda m: m["anchors"]["layers"][0]["priors"].pop(), "anchors"),
    "no anchors in a layer": (lambda m: m["anchors"]["layers"][0].update(priors=[]), "anchors.layers.0.priors"),
    "no layers": (lambda m: m["anchors"].update(layers=[]), "anchors.layers"),
    "an anchor without size": (lambda m: m["anchors"]["layers"][0]["priors"].__setitem__(0, [0, 1]), "priors.0.0"),
    "an anchor nowhere": (lambda m: m["anchors"]["layers"][0].update(first=[float("nan"), 1]), "first.0"),
    "box scales of zero": (lambda m: m["box_coding"].update(scales=[0, 0, 0, 0]), "box_coding.scales"),
    "an unknown schema": (lambda m: m.update(schema="edge-app/detector/9"), "schema"),
    "no schema": (lambda m: m.pop("schema"), "schema"),
    "an unknown resize": (lambda m: m["input"].update(resize="stretch"), "input.resize"),
    "frames without any detail": (lambda m: m["input"].update(detail=0), "input.detail"),
    "no hash": (lambda m: m.update(sha256=""), "sha256"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_lies(lie: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change, says = LIES[lie]
    described = manifest()
    change(described)
    path = put(tmp_path, MODEL.read_bytes(), described)
    assert says in refused(path, tmp_path / "other", capfd)


def test_a_missing_manifest(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, MODEL.read_bytes(), None)
    assert "needs its .json beside it" in refused(path, path.with_suffix(".json"), capfd)


@pytest.mark.parametrize("content", [b"", b"{", b"no JSON", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 9999])
def test_a_manifest_that_is_none(content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, MODEL.read_bytes(), content)
    assert "is not valid at" in refused(path, path.with_suffix(".json"), capfd)


def test_no_runtime_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite, "RUNTIMES", ("absent_runtime.interpreter",))
    with pytest.raises(DetectorError, match="pip install"):
        TfliteDetector(MODEL)


def test_what_a_newer_manifest_says_more_is_read_over(tmp_path: Path) -> None:
    path = put(tmp_path, MODEL.read_bytes(), {**manifest(), "novelty": {"colour": "blue"}})
    assert TfliteDetector(path, threads=1).manifest.name == manifest()["name"]
