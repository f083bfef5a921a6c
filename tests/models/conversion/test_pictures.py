"""Test the shape, the choice and the labels of pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.common.errors import BuildError
from models.conversion import pictures
from models.conversion.anchors import Size
from models.conversion.attribution import calibration_data


def picture(path: Path, width: int, height: int, level: int = 90) -> Path:
    """Write a grey picture. Return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), level, np.uint8))
    return path


def test_letterbox_keeps_the_aspect_and_turns_to_rgb() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[..., 0] = 255  # blue
    found = pictures.letterbox(image, Size(512, 288))
    assert found.shape == (288, 512, 3)
    assert found[144, 256].tolist() == [0, 0, 255]
    assert found[144, 111].tolist() == [128, 128, 128]
    assert found[144, 112].tolist() == found[144, 399].tolist() == [0, 0, 255]
    assert found[144, 400].tolist() == [128, 128, 128]


def test_squeezed_pictures_get_their_shape_back(tmp_path: Path) -> None:
    assert pictures.load(picture(tmp_path / "hanoi__1.png", 90, 90)).shape == (90, 160, 3)
    assert pictures.load(picture(tmp_path / "nepal__1.png", 90, 90)).shape == (90, 90, 3)
    assert pictures.load(picture(tmp_path / "hanoi__2.png", 160, 90)).shape == (90, 160, 3)


def test_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("text")
    with pytest.raises(BuildError, match="not a readable picture"):
        pictures.load(tmp_path / "a.jpg")
    with pytest.raises(BuildError, match="no pictures"):
        pictures.find(tmp_path / "nothing")


def test_choice_depends_on_names_alone_and_parts_do_not_meet() -> None:
    paths = [Path(f"{i}.jpg") for i in range(50)]
    first, rest = pictures.spread(paths, 20), pictures.spread(paths, 30, skip=20)
    assert first == pictures.spread(list(reversed(paths)), 20)
    assert sorted(first + rest) == sorted(paths)
    assert pictures.fingerprint(first) != pictures.fingerprint(rest)


def test_calibration_spans_the_whole_input_range(tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{i}.png", 64, 36) for i in range(5)]
    plain = list(pictures.calibration(paths, Size(128, 128), relight=False))
    relit = list(pictures.calibration(paths, Size(128, 128), relight=True))
    assert (len(plain), len(relit)) == (5, 8)
    assert plain[0].shape == (1, 128, 128, 3)
    assert plain[0].dtype == np.float32
    assert (plain[0].min(), plain[0].max()) == (-1, 1)
    assert relit[1][0, 64, 64, 0] > plain[0][0, 64, 64, 0] > relit[3][0, 64, 64, 0]


def test_labels(tmp_path: Path) -> None:
    image = picture(tmp_path / "images" / "a.png", 20, 10)
    labels = tmp_path / "labels" / "a.txt"
    labels.parent.mkdir()
    labels.write_text("1 0.5 0.5 0.2 0.4\n4 0.1 0.2 0.2 0.4\n")
    found = pictures.truth(image)
    assert found.classes == (1, 4)
    assert found.boxes[0].tolist() == pytest.approx([0.4, 0.3, 0.6, 0.7])
    labels.write_text("")
    assert pictures.truth(image).boxes.shape == (0, 4)
    labels.write_text("1 2 3\n")
    with pytest.raises(BuildError, match="no label file"):
        pictures.truth(image)


def test_every_source_is_named() -> None:
    sources = calibration_data([Path("hanoi__1.jpg"), Path("mine.jpg"), Path("hanoi__2.jpg")])["sources"]
    assert sources == [
        "Roboflow thang-azynm/vehicle_dataset-04axq v1, CC BY 4.0: 2 pictures",
        "the builder's own: 1 pictures",
    ]
