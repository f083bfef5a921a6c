"""What the office gets: a ZIP file without secrets, a picture behind the masks, or a sentence."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_app.drawing.scene import Privacy
from edge_app.errors import CommandError, PreviewError, StoreError
from edge_app.preview.live import Preview
from edge_app.records import Detections, Frame, FrameResult, Tracks
from edge_app.rollout.bundles import Bundles
from edge_app.rollout.diagnosis import archive, files_of, versions
from edge_app.rollout.harvest_order import NAME, HarvestOrder
from edge_app.rollout.orders import Orders
from edge_app.system.redaction import forget_secrets, keep_secret
from tests.support.harvest_cases import NOON
from tests.support.publisher_cases import DEVICE

OPEN = Privacy()


@pytest.fixture(autouse=True)
def _secrets() -> Iterator[None]:
    keep_secret("hunter22")
    yield
    forget_secrets()


def content(archived: bytes) -> dict[str, str]:
    """Return the texts of a ZIP file by name."""
    with zipfile.ZipFile(io.BytesIO(archived)) as file:
        return {name: file.read(name).decode() for name in file.namelist()}


def test_no_secret_leaves_in_any_form() -> None:
    parts = {
        "a.json": lambda: {"url": 'rtsp://u:pw@cam/live"', "deep": [{"hunter22": ("x hunter22",)}], "n": 1.5},
        "b.txt": lambda: "broker mqtt://me:pw@host:1883/x\npassword=hunter22\nall is well",
    }
    found = content(archive(parts))
    assert "hunter22" not in str(found)
    assert "pw" not in str(found)
    assert json.loads(found["a.json"])["n"] == 1.5
    assert "all is well" in found["b.txt"]


@pytest.mark.parametrize("fault", [StoreError("gone: hunter22"), OSError(5, "input error"), ValueError("no JSON")])
def test_one_part_that_cannot_be_told_takes_no_other_along(fault: Exception) -> None:
    def broken() -> Any:
        raise fault

    found = content(archive({"a.json": broken, "b.json": lambda: [1]}))
    assert "error" in json.loads(found["a.json"])
    assert "hunter22" not in found["a.json"]
    assert json.loads(found["b.json"]) == [1]


def test_sizes_and_dates_are_told_and_no_content(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.jpg").write_bytes(b"picture")
    (tmp_path / "a").write_bytes(b"x" * 70)
    found = files_of(tmp_path)
    assert [(one["file"], one["bytes"]) for one in found["files"]] == [("a", 70), ("deep/b.jpg", 7)]
    assert found["complete"] is True
    for n in range(1_000):
        (tmp_path / "deep" / f"{n}").touch()
    found = files_of(tmp_path)
    assert (len(found["files"]), found["complete"]) == (1_000, False)
    assert files_of(tmp_path / "away")["files"] == []


def test_versions_name_the_packages() -> None:
    assert "numpy" in versions()["packages"]


def orders(preview: Preview, order: HarvestOrder | None, **options: Any) -> Orders:
    prepare = options.get("prepare", lambda: None)
    bundles, stopped = Bundles(Path("none")), threading.Event()
    return Orders(DEVICE, preview, order, prepare, {"a.json": lambda: 1}, bundles, set, stopped, now=lambda: NOON)


def shown(privacy: Privacy = OPEN) -> Preview:
    """Return a preview of a grey picture, 1280 x 720 px, with a white stripe of single pixels on its right."""
    image = np.full((720, 1280, 3), 90, np.uint8)
    image[:, 640::2] = 255
    preview = Preview((), (), privacy)
    preview.update(FrameResult(Frame(image, 0, NOON, 1.0), Detections.empty(), Tracks.empty()))
    return preview


def test_a_picture_is_that_of_the_preview(tmp_path: Path) -> None:
    order = HarvestOrder(tmp_path / NAME, lambda: NOON)
    sent = orders(shown(), order).snapshot(640, lines=False)
    assert (sent.name, sent.media_type) == ("delft-cam-1-20261125T120000Z.jpg", "image/jpeg")
    picture = cv2.imdecode(np.frombuffer(sent.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (360, 640, 3)
    with_lines = orders(shown(), order).snapshot(640, lines=True)
    assert with_lines.content != sent.content


def test_what_is_hidden_in_the_preview_is_hidden_in_the_picture(tmp_path: Path) -> None:
    privacy = Privacy(pixelate=True, region=(0.0, 0.0, 0.5, 1.0))
    sent = orders(shown(privacy), HarvestOrder(tmp_path / NAME, lambda: NOON)).snapshot(1280, lines=False)
    picture = cv2.imdecode(np.frombuffer(sent.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert np.ptp(picture[100:600, 700:1200]) < 30, "the stripes outside of the region can be seen"


def test_without_leave_no_picture_is_taken_or_kept() -> None:
    mine = orders(shown(), None)
    for ask in (lambda: mine.snapshot(640, lines=False), lambda: mine.harvest(4)):
        with pytest.raises(CommandError, match=r"office\.pictures"):
            ask()
    assert mine.harvest(0) is None
    assert content(mine.diagnose().content) == {"a.json": "1"}


def test_without_a_picture_there_is_a_sentence(tmp_path: Path) -> None:
    order = HarvestOrder(tmp_path / NAME, lambda: NOON)
    with pytest.raises(PreviewError, match="no fresh picture"):
        orders(Preview((), (), Privacy()), order).snapshot(640, lines=False)


def test_a_harvest_tells_its_end_or_why_no_frame_can_be_kept(tmp_path: Path) -> None:
    order = HarvestOrder(tmp_path / NAME, lambda: NOON)

    def unusable() -> None:
        raise StoreError("the harvest folder is a file")

    with pytest.raises(CommandError, match="is a file"):
        orders(shown(), order, prepare=unusable).harvest(4)
    assert order.until is None
    assert orders(shown(), order).harvest(4) == "2026-11-25T16:00:00Z"
    assert orders(shown(), order).harvest(0) is None
