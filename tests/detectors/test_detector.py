"""Detectors: the contract of each, the place of boxes, and the refusal of every kind of wrong model."""

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
from tests.support.boxes import iou
from tests.support.paths import ARTEFACTS

MODELS = sorted(ARTEFACTS.glob("*.tflite"))
MODEL = default_model()
Box = tuple[float, float, float, float]
Json = dict[str, Any]

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason=f"no {MODEL.name}: build it, see models/")
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)


@lru_cache(len(MODELS))
def detector(model: Path = MODEL) -> TfliteDetector:
    return TfliteDetector(model, threads=1, score=0.35)


@lru_cache(1)
def scene() -> tuple[Image, Box]:
    """Return a rendered picture with a complete car in its middle, and the box of the car."""
    street = Street(pace="fast", flow=(20.0, 0.0), mix={"car": 1.0}, fps=5.0)
    for _ in range(300):
        frame = street.read(0)
        for _, _, box in street.boxes():
            if frame is not None and abs(box[0] + box[2] - frame.size[0]) < 200:
                return frame.image, box
    raise AssertionError("the street has no car")


def best_match(found: Detections, box: Box) -> Box:
    """Return the detected box that overlaps this box most."""
    rows: list[Box] = [(x0, y0, x1, y1) for x0, y0, x1, y1 in found.boxes.tolist()]
    return max(rows, key=lambda row: iou(row, box))


def same(a: Detections, b: Detections) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("boxes", "scores", "classes"))


@every_model
class TestContract:
    """Contract of Detector, checked with each model that ships."""

    def test_a_car_is_detected_at_its_place(self, model: Path) -> None:
        image, box = scene()
        found: Detections = detector(model).detect(image)
        assert iou(best_match(found, box), box) > 0.6

    def test_only_vehicles_above_the_score_are_returned_strongest_first(self, model: Path) -> None:
        found = detector(model).detect(scene()[0])
        assert {LABELS[i] for i in found.classes} <= set(VEHICLES)
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        assert ((found.scores >= 0.349) & (found.scores <= 1)).all()

    def test_the_same_picture_gives_the_same_detections(self, model: Path) -> None:
        image, _ = scene()
        first = detector(model).detect(image)
        detector(model).detect(np.ascontiguousarray(image[::-1]))
        assert same(first, detector(model).detect(image))

    def test_the_image_is_only_read_and_may_be_a_view(self, model: Path) -> None:
        image = scene()[0].copy()
        before, found = image.copy(), detector(model).detect(image)
        image.setflags(write=False)
        wide = np.zeros((image.shape[0], image.shape[1] + 100, 3), np.uint8)
        wide[:, 50:-50] = image
        assert same(found, detector(model).detect(image))
        assert same(found, detector(model).detect(wide[:, 50:-50]))
        assert np.array_equal(image, before)

    def test_earlier_detections_are_not_overwritten(self, model: Path) -> None:
        found = detector(model).detect(scene()[0])
        before = found.boxes.copy()
        detector(model).detect(np.full((720, 1280, 3), 128, np.uint8))
        assert np.array_equal(found.boxes, before)

    @pytest.mark.parametrize("grey", [0, 64, 128, 255])
    def test_a_plain_picture_has_no_vehicles(self, model: Path, grey: int) -> None:
        assert len(detector(model).detect(np.full((480, 640, 3), grey, np.uint8))) == 0

    @pytest.mark.parametrize("size", [(320, 240), (1920, 1080), (1280, 300), (405, 720), (511, 301), (33, 17)])
    def test_boxes_lie_inside_pictures_of_any_size(self, model: Path, size: tuple[int, int]) -> None:
        """size: width and height, from that of a street to a letter box and a thumbnail."""
        found = detector(model).detect(np.asarray(cv2.resize(scene()[0], size), np.uint8))
        assert (found.boxes >= 0).all()
        assert (found.boxes <= np.tile(size, 2)).all()
        assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()

    def test_close_may_be_called_twice(self, model: Path) -> None:
        one: Detector = TfliteDetector(model, threads=1)
        one.close()
        one.close()


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (2000, 1), (1, 2000), (3, 4000), (4000, 3)])
def test_pictures_of_very_few_pixels_have_no_vehicles(shape: tuple[int, int]) -> None:
    assert len(detector().detect(np.full((*shape, 3), 90, np.uint8))) == 0


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_score_0_reports_much_and_score_1_nothing(score: float) -> None:
    found = TfliteDetector(MODEL, threads=1, score=score).detect(scene()[0])
    assert (len(found) > 20) == (score == 0)


@pytest.mark.parametrize("factor", [0.5, 0.75, 2.0])
def test_a_picture_of_another_size_has_the_same_car_at_the_same_place(factor: float) -> None:
    image, box = scene()
    x0, y0, x1, y1 = best_match(detector().detect(image), box)
    expected_box = (factor * x0, factor * y0, factor * x1, factor * y1)
    scaled = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    assert iou(best_match(detector().detect(scaled), expected_box), expected_box) > 0.8


def test_detail_softens_large_frames_and_leaves_small_ones() -> None:
    grain = np.random.default_rng(1).integers(0, 256, (540, 960, 3), np.uint8)
    plain, soft = letterbox(grain, 512, 288, 128), letterbox(grain, 512, 288, 128, 0.9375)
    assert soft.pixels.std() < 0.9 * plain.pixels.std()
    assert (soft.scale, soft.left, soft.top) == (plain.scale, plain.left, plain.top)
    # 480 px wide is as much as `detail` allows: nothing is taken away.
    small = letterbox(grain[::2, ::2], 512, 288, 128, 0.9375)
    np.testing.assert_array_equal(small.pixels, letterbox(grain[::2, ::2], 512, 288, 128).pixels)


def test_a_softened_edge_stays_where_it_was() -> None:
    half = np.zeros((720, 1280, 3), np.uint8)
    half[:, 640:] = 255
    row = letterbox(half, 512, 288, 128, 0.9375).pixels[0, 144, :, 0].astype(float)
    assert row[:252].max() == 0
    assert row[260:].min() == 255
    assert row.mean() == pytest.approx(127.5, abs=0.5)


def test_margins_do_not_shift_boxes() -> None:
    """A narrow part of the picture is centred on grey; with the same grey inside the picture the input is the same.

    Only along the edges of the part does softening mix them.
    """
    image, _ = scene()
    part, canvas = image[:, 240:1040], np.full_like(image, 128)
    canvas[:, 240:1040] = part
    alone, pasted = detector().detect(part), detector().detect(canvas)
    assert len(alone)
    assert np.allclose(alone.boxes + np.array([240, 0, 240, 0], np.float32), pasted.boxes, atol=2)
    assert np.allclose(alone.scores, pasted.scores, atol=0.05)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (100, 200), (230, 60)])
def test_the_same_content_in_a_larger_picture_gives_shifted_boxes(left: int, top: int) -> None:
    """Check a tall picture, with margins left and right, and a wide one, with margins above and below."""
    image, box = scene()
    x0, y0, x1, y1 = best_match(detector().detect(image), box)
    expected_box = (x0 + left, y0 + top, x1 + left, y1 + top)
    for width, height in ((1280 + 230, 720 + 500), (1280 + 600, 720 + 200)):
        canvas = np.full((height, width, 3), 128, np.uint8)
        canvas[top : top + 720, left : left + 1280] = image
        assert iou(best_match(detector().detect(canvas), expected_box), expected_box) > 0.7


def candidate_manifest() -> Json:
    """Return the manifest of the default model without stage and gate record, which fit the shipped file alone."""
    content: Json = json.loads(MODEL.with_suffix(".json").read_text("utf-8"))
    return {key: value for key, value in content.items() if key not in ("stage", "gate")}


def write_model(folder: Path, model: bytes | None, content: Json | bytes | None) -> Path:
    """Write a model and its manifest; a manifest given as a dict gets the right hash."""
    path = folder / "other.tflite"
    if model is not None:
        path.write_bytes(model)
    if isinstance(content, dict):
        content = json.dumps({"sha256": hashlib.sha256(model or b"").hexdigest(), **content}).encode()
    if content is not None:
        path.with_suffix(".json").write_bytes(content)
    return path


def refusal_of(model: Path, names: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Return the sentence with which a model is refused; check that it names the file and nothing else is printed."""
    with pytest.raises(DetectorError) as refusal:
        TfliteDetector(model)
    assert capfd.readouterr() == ("", "")
    message = str(refusal.value)
    assert str(names) in message
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def without_hash() -> Json:
    content = candidate_manifest()
    del content["sha256"]
    return content


def test_a_missing_model_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_model(tmp_path, None, candidate_manifest())
    assert "cannot read the model" in refusal_of(path, path, capfd)


@pytest.mark.parametrize("cut", [0, 8, 100_000, -1])
def test_a_truncated_model_is_refused(cut: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_model(tmp_path, MODEL.read_bytes()[:cut], candidate_manifest())
    assert "not the file its manifest describes" in refusal_of(path, path, capfd)


def test_a_model_of_another_hash_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = bytearray(MODEL.read_bytes())
    content[len(content) // 2] ^= 1
    path = write_model(tmp_path, bytes(content), candidate_manifest())
    assert "damaged or was replaced" in refusal_of(path, path, capfd)


@pytest.mark.parametrize("content", [b"", b"no model at all " * 99, b"\x1c\0\0\0TFL3" + b"\1" * 999, "half"])
def test_a_damaged_model_with_a_matching_hash_is_refused(
    content: bytes | str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = MODEL.read_bytes()[:1_800_000] if isinstance(content, str) else content
    path = write_model(tmp_path, model, without_hash())
    assert "cannot load the model" in refusal_of(path, path, capfd)


@pytest.mark.skipif(len(MODELS) < 2, reason="one model only: build the others, see models/")
def test_a_model_of_another_size_than_its_manifest_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = next(model for model in MODELS if model.name != MODEL.name)
    path = write_model(tmp_path, other.read_bytes(), without_hash())
    assert "do not fit" in refusal_of(path, path, capfd)


def exchange_sides(m: Json) -> None:
    m["input"]["width"], m["input"]["height"] = m["input"]["height"], m["input"]["width"]


WRONG_MANIFESTS: dict[str, tuple[Callable[[Json], object], str]] = {
    "width and height exchanged": (exchange_sides, "do not fit"),
    "one label too few": (lambda m: (m["labels"].pop(), m.pop("counts", None)), "need"),
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


@pytest.mark.parametrize("fault", WRONG_MANIFESTS)
def test_a_wrong_manifest_is_refused(fault: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change, expected = WRONG_MANIFESTS[fault]
    content = candidate_manifest()
    change(content)
    path = write_model(tmp_path, MODEL.read_bytes(), content)
    assert expected in refusal_of(path, tmp_path / "other", capfd)


def test_a_missing_manifest_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_model(tmp_path, MODEL.read_bytes(), None)
    assert "needs its .json beside it" in refusal_of(path, path.with_suffix(".json"), capfd)


@pytest.mark.parametrize("content", [b"", b"{", b"no JSON", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 9999])
def test_a_file_that_is_no_manifest_is_refused(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_model(tmp_path, MODEL.read_bytes(), content)
    assert "is not valid at" in refusal_of(path, path.with_suffix(".json"), capfd)


def test_without_a_runtime_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite, "RUNTIMES", ("absent_runtime.interpreter",))
    with pytest.raises(DetectorError, match="pip install"):
        TfliteDetector(MODEL)


def test_unknown_keys_of_a_newer_manifest_are_ignored(tmp_path: Path) -> None:
    path = write_model(tmp_path, MODEL.read_bytes(), {**candidate_manifest(), "novelty": {"colour": "blue"}})
    assert TfliteDetector(path, threads=1).manifest.name == candidate_manifest()["name"]
