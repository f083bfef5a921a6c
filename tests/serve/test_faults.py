"""Faults of the service itself, and pictures that can be read but not drawn: told as every other problem is."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from PIL import Image as Pillow

from tests.support.serving import Serving, serving

pytestmark = pytest.mark.servers

PAGE = "https://map.example"


@pytest.fixture(scope="module")
def service() -> Iterator[Serving]:
    with serving(origins=(PAGE,)) as running:
        yield running


@pytest.mark.parametrize("size", [(70_000, 10), (10, 70_000), (3, 65_535)])
def test_a_side_that_no_jpeg_can_have_is_told(service: Serving, size: tuple[int, int]) -> None:
    file = io.BytesIO()
    Pillow.new("RGB", size).save(file, "PNG")
    answer = service.http.post("/predict?format=image", content=file.getvalue())
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert f"{size[0]}x{size[1]} cannot be written as JPEG" in answer.json()["detail"]
    assert service.http.post("/predict", content=file.getvalue()).status_code == 200


def test_a_fault_is_logged_and_told_to_pages_of_other_servers_too(
    service: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_app.serve.page_files.read", lambda _name: 1 / 0)
    answer = service.http.get("/", headers={"origin": PAGE})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "tell whoever runs it" in answer.json()["detail"]
    assert "ZeroDivisionError" in caplog.text
