"""What `predict` looks at, and what it refuses before the work: outputs over pictures, pipes, circles of links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_app.commands._pictures import list_pictures, try_outputs
from edge_app.errors import ConfigError
from edge_app.serve.answers import NamedAnswer, Prediction
from edge_app.serve.outputs import csv_text, json_text, part_of


@pytest.fixture(autouse=True)
def ow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder `ow` with a picture `a.jpg`, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("ow").mkdir()
    Path("ow/a.jpg").write_bytes(b"original")
    return Path("ow")


def _prepare(given: list[Path], out: Path | None, draw: Path | None) -> None:
    part = part_of(out) if out else None
    pictures, _ = list_pictures(given, [path for path in (out, draw, part) if path])
    try_outputs(out, draw, given, pictures)


def _refused(given: list[Path], out: Path | None = None, draw: Path | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        _prepare(given, out, draw)
    assert len(refused.value.problems) == 1
    return refused.value.problems[0]


def test_originals_are_not_drawn_over(ow: Path) -> None:
    assert "would overwrite the picture ow/a.jpg" in _refused([ow / "a.jpg"], draw=ow)
    Path("link").symlink_to("ow")
    assert "would overwrite" in _refused([ow / "a.jpg"], draw=Path("link"))
    Path("drawn").mkdir()
    Path("drawn/a.jpg").hardlink_to(ow / "a.jpg")
    assert "would overwrite" in _refused([ow], draw=Path("drawn"))
    assert "pictures are in this folder" in _refused([ow], draw=ow)
    assert "pictures are in this folder" in _refused([Path()], out=Path())
    Path("ow/b.json").write_text("{}")
    assert "would overwrite" in _refused([ow / "b.json"], out=ow / "b.json")
    assert (ow / "a.jpg").read_bytes() == b"original"


def test_two_pictures_are_not_written_to_one_name(ow: Path) -> None:
    for name in ("a.png", "a.png.jpg"):
        (ow / name).write_bytes(b"one")
    assert "both be written to drawn/a.png.jpg: rename one" in _refused([ow], draw=Path("drawn"))
    assert "both be written to labels/labels/a.txt: rename one" in _refused([ow], out=Path("labels"))


def test_outputs_that_cannot_be_are_told_before_the_work(ow: Path) -> None:
    Path("file").write_text("taken")
    assert "no folder" in _refused([ow], draw=Path("file"))
    assert "no folder" in _refused([ow], out=Path("file"))
    assert "name a folder in it" in _refused([ow], out=Path("/"))
    Path("circle.json").symlink_to("circle.json")
    assert "circle" in _refused([ow], out=Path("circle.json"))
    assert part_of(Path()).name == f"{Path.cwd().name}.part"


def test_pipes_and_circles_of_links_are_told(ow: Path) -> None:
    os.mkfifo(ow / "pipe.jpg")
    (ow / "circle").symlink_to("circle")
    pictures, amiss = list_pictures([ow], [])
    assert [picture.name for picture in pictures] == ["a.jpg"]
    assert amiss == ["ow/circle cannot be read (too many levels of symbolic links)", "ow/pipe.jpg is no regular file"]
    assert "neither a file nor a folder" in _refused([ow / "pipe.jpg"])
    assert "symbolic links" in _refused([ow / "circle"])


def test_a_folder_that_may_not_be_read_is_told(ow: Path) -> None:
    Path.cwd().chmod(0o755)
    (ow / "closed").mkdir(mode=0)
    with _not_root():
        pictures, amiss = list_pictures([ow], [])
    assert [picture.name for picture in pictures] == ["a.jpg"]
    assert amiss == ["ow/closed cannot be read (permission denied): its pictures are missing"]


@contextmanager
def _not_root() -> Iterator[None]:
    before = os.geteuid()
    if not before:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_the_outputs_of_a_run_are_no_pictures(ow: Path) -> None:
    out, draw = ow / "b.json", ow / "drawn"
    draw.mkdir()
    for path in (out, part_of(out), draw / "a.jpg"):
        path.write_text("output")
    pictures, amiss = list_pictures([ow], [out, part_of(out), draw])
    assert [picture.name for picture in pictures] == ["a.jpg"]
    assert not amiss


def test_a_name_that_is_no_utf8_can_be_written(ow: Path) -> None:
    (ow / os.fsdecode(b"b\xff.jpg")).write_bytes(b"two")
    pictures, _ = list_pictures([ow], [])
    assert [picture.name for picture in pictures] == ["a.jpg", "b\\xff.jpg"]
    box = {"class": "car", "score": 0.5, "px": (0, 0, 1, 1), "relative": (0, 0, 1, 1)}
    ms = dict.fromkeys(("waiting", "decoding", "detecting", "total"), 1.0)
    prediction = Prediction.model_validate(
        {"model": "m", "model_sha256": "0", "width": 2, "height": 2, "boxes": [box], "ms": ms}
    )
    answers = [NamedAnswer(name=picture.name, prediction=prediction) for picture in pictures]
    assert "b\\xff.jpg" in (csv_text(answers).encode() + json_text(answers).encode()).decode()
