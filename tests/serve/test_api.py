"""The service over HTTP: what it answers, and one sentence where it does not."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator

import cv2
import httpx
import numpy as np
import pytest

from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import LABELS
from edge_app.serve.pictures import KINDS
from tests.support.openapi import unresolved
from tests.support.pictures import encoded, png_bomb, street_picture
from tests.support.serving import Serving, serving

pytestmark = pytest.mark.servers

PICTURE = street_picture()
JPEG = encoded(PICTURE)


@pytest.fixture(scope="module")
def service() -> Iterator[Serving]:
    with serving() as running:
        yield running


def problem(answer: httpx.Response) -> str:
    """Return the sentence of a problem, after checking its form."""
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert set(told) == {"type", "title", "status", "detail"}
    assert told["status"] == answer.status_code
    assert "\n" not in told["detail"]
    return str(told["detail"])


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_bit_for_bit_those_of_the_devices_detector(service: Serving, kind: str) -> None:
    content = encoded(PICTURE, kind)
    image = np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    want = TfliteDetector().detect(image)
    answer = service.http.post("/predict?confidence=0.15", content=content).json()
    assert len(want) > 1
    assert (answer["width"], answer["height"]) == (1280, 720)
    assert [box["class"] for box in answer["boxes"]] == [LABELS[n] for n in want.classes]
    assert np.array_equal(np.array([box["px"] for box in answer["boxes"]], np.float32), want.boxes)
    assert np.array_equal(np.array([box["score"] for box in answer["boxes"]], np.float32), want.scores)
    assert answer["ms"]["total"] >= answer["ms"]["detecting"] > 0


def test_a_form_gives_what_a_raw_body_gives(service: Serving) -> None:
    raw = service.http.post("/predict", content=JPEG).json()
    form = service.http.post("/predict", files={"anything": ("x.txt", JPEG, "text/plain")}).json()
    assert {**form, "ms": None} == {**raw, "ms": None}
    head = b'--b\r\nContent-Disposition: form-data; name="picture"\r\n\r\n'  # whose sender names no file
    kind = {"content-type": "multipart/form-data; boundary=b"}
    nameless = service.http.post("/predict", content=head + JPEG + b"\r\n--b--\r\n", headers=kind).json()
    assert {**nameless, "ms": None} == {**raw, "ms": None}


def test_the_confidence_is_the_lowest_score(service: Serving) -> None:
    every = service.http.post("/predict?confidence=0.05", content=JPEG).json()["boxes"]
    some = service.http.post("/predict?confidence=0.98", content=JPEG).json()["boxes"]
    assert len(every) > len(some) > 0
    assert some == [box for box in every if box["score"] >= 0.98]


def test_the_drawn_picture_is_a_jpeg_of_the_same_size(service: Serving) -> None:
    answer = service.http.post("/predict?format=image", content=JPEG)
    drawn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert answer.headers["content-type"] == "image/jpeg"
    assert drawn is not None
    assert drawn.shape == PICTURE.shape
    assert np.abs(drawn.astype(int) - PICTURE).max() > 100


def test_each_picture_of_a_batch_has_its_own_answer_or_problem(service: Serving) -> None:
    files = [("p", ("one.jpg", JPEG)), ("p", ("bad.jpg", b"GIF89a")), ("p", ("two.png", encoded(PICTURE, "PNG")))]
    answers = service.http.post("/predict/batch", files=files).json()["answers"]
    assert [answer["name"] for answer in answers] == ["one.jpg", "bad.jpg", "two.png"]
    assert answers[0]["prediction"]["boxes"]
    assert answers[2]["prediction"]["boxes"]
    assert answers[1]["problem"]["status"] == 415


@pytest.mark.parametrize(
    ("path", "content", "status", "told"),
    [
        ("/predict", b"hello", 415, "this is no picture"),
        ("/predict", b"", 400, "empty"),
        ("/predict", JPEG[:5000], 422, "broken or cut off"),
        ("/predict", png_bomb(8_000), 413, "8000x8000 px"),
        ("/predict", bytes(5_000_000), 413, "at most 4,100,000 bytes"),
        ("/predict?model=other", JPEG, 404, "ssdlite"),
        ("/predict?confidence=2", JPEG, 422, "confidence"),
        ("/predict?confidence=nan", JPEG, 422, "confidence"),
        ("/predict?format=gif", JPEG, 422, "format"),
        ("/predict/batch", JPEG, 415, "multipart/form-data"),
        ("/nowhere", JPEG, 404, "/docs"),
        ("/models", JPEG, 405, "/docs"),
    ],
)
def test_what_is_refused_is_told_in_a_sentence(
    service: Serving, path: str, content: bytes, status: int, told: str
) -> None:
    answer = service.http.post(path, content=content)
    assert answer.status_code == status
    assert told in problem(answer)
    assert service.http.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("multipart/form-data", b"x", "no boundary"),
        ("multipart/form-data; boundary=b", b"--b\r\nbroken", "broken"),
        ("multipart/form-data; boundary=b", b"", "its end is missing"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--b--',
            "no file",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="a"; filename="a"\r\n\r\n1\r\n' * 65 + b"--b--",
            "at most 64 parts",
        ),
    ],
)
def test_a_broken_form_is_told(service: Serving, kind: str, body: bytes, told: str) -> None:
    for path in ("/predict", "/predict/batch"):
        assert told in problem(service.http.post(path, content=body, headers={"content-type": kind}))


def test_pictures_never_touch_the_disk(service: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    large = encoded(PICTURE, "BMP")
    assert len(large) > 2_000_000
    assert service.http.post("/predict", files={"p": ("p.bmp", large)}).status_code == 200
    assert service.http.post("/predict/batch", files={"p": ("p.bmp", large)}).status_code == 200


def test_models_health_and_metrics(service: Serving) -> None:
    (model,) = service.http.get("/models").json()["models"]
    detector = TfliteDetector()
    assert (model["name"], model["sha256"]) == (detector.manifest.name, detector.manifest.sha256)
    assert model["default"]
    assert service.http.get("/health").json() == {"alive": True, "ready": True}
    before = _pictures(service)
    service.http.post("/predict", content=JPEG)
    assert _pictures(service) == before + 1


def _pictures(service: Serving) -> float:
    lines = service.http.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("edge_app_serve_pictures_total "))


def test_metrics_have_no_series_that_callers_choose(service: Serving) -> None:
    for n in range(5):
        service.http.get(f"/nowhere/{n}")
    assert "nowhere" not in service.http.get("/metrics").text


def test_the_description_is_openapi_3_1_with_every_route(service: Serving) -> None:
    described = service.http.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert unresolved(described) == []
    assert {"/predict", "/predict/batch", "/models", "/health", "/health/live", "/health/ready", "/metrics"} <= set(
        described["paths"]
    )
    assert "class" in json.dumps(described["components"]["schemas"]["Box"])
    assert service.http.get("/docs").status_code == 200


def test_a_wrong_method_is_told_with_all_that_are_allowed(service: Serving) -> None:
    answer = service.http.put("/predict", content=JPEG)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
