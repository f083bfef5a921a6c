"""Test `python -m models.data` as a person types it: files, messages and exit codes."""

from __future__ import annotations

import io
import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from models.data import shards, splits
from models.data.commands import main
from models.data.problems import Problems
from models.data.sources import find_known, read_sources
from tests.support.annotated import encoded, yolo_set
from tests.support.paths import ROOT
from tests.support.shared import SHARED, needs

GOOD = "1 0.5 0.5 0.2 0.2\n"
OURS = ["--origin", "the tests", "--licence", "MIT", "--camera", "each"]


def run(*words: str | Path) -> int:
    """Run a command. Return its exit code."""
    return main([str(word) for word in words])


def read_yolo(root: Path, out: Path, *more: str | Path) -> int:
    """Import a YOLO folder. Return the exit code."""
    return run("import", root, "--format", "yolo", "--out", out, *(more or OURS))


def test_import_split_export_and_import_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = yolo_set(tmp_path / "set", dict.fromkeys(("a1", "a2", "b1", "c1"), GOOD))
    rules = [{"camera": camera, "prefix": camera} for camera in "abc"]
    source = {"origin": "the tests", "licence": "MIT", "cameras": rules}
    (tmp_path / "s.json").write_text(json.dumps({"schema": "edge-app/sources/1", "sources": [source]}))
    assert read_yolo(root, tmp_path / "shards", "--sources", tmp_path / "s.json") == 0
    assert json.loads((tmp_path / "shards/problems.json").read_text())["problems"] == []
    assert "4 pictures in 1 shards" in capsys.readouterr().err
    split = tmp_path / "split.json"
    assert run("split", tmp_path / "shards", "--validation", "b*", "--test", "c", "--out", split) == 0
    assert splits.read(split) == splits.Split(("a",), ("b",), ("c",))
    assert run("export", tmp_path / "shards", "--format", "voc", "--out", tmp_path / "voc") == 0
    again = ("import", tmp_path / "voc", "--format", "voc", "--sources", tmp_path / "voc/sources.json")
    assert run(*again, "--out", tmp_path / "again") == 0
    before, after = (shards.read_index(tmp_path / name).entries for name in ("shards", "again"))
    assert before == after


def test_a_full_disk_names_the_place_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")  # of a file that is being written the system names nothing

    root = yolo_set(tmp_path / "set", {"a": GOOD})
    monkeypatch.setattr(shards, "write", full)
    assert read_yolo(root, tmp_path / "shards") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"The disk of {tmp_path / 'shards'} is full: free space there, and give the same command again."
    monkeypatch.undo()
    assert read_yolo(root, tmp_path / "shards") == 0


def test_problems_are_shown_kept_and_no_reason_to_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = yolo_set(tmp_path / "set", {"a": GOOD + "rubbish\n", "[b]": "1 0.5 0.5 0 0.1\n"})
    assert read_yolo(root, tmp_path / "shards") == 0
    message = capsys.readouterr().err
    assert re.search(r"labels/a.txt:2: malformed line: 'rubbish' is no class number\n", message)
    assert re.search(r"labels/\[b\].txt:1: zero area: motorcycle", message)
    assert "2 problems: 1 zero area, 1 malformed line" in message or "1 malformed line, 1 zero area" in message
    content = json.loads((tmp_path / "shards/problems.json").read_text())
    assert content["counts"] == {"malformed line": 1, "zero area": 1}
    assert {(p["line"], Path(p["file"]).name) for p in content["problems"]} == {(2, "a.txt"), (1, "[b].txt")}


def test_on_a_terminal_problems_are_a_table() -> None:
    problems, shown = Problems(), io.StringIO()
    for line in range(1, 60):
        problems.add("zero area", Path("/some/where/[red]a.txt"), "no width", line)
    problems.show(Console(file=shown, force_terminal=True, width=100, color_system=None), Path("problems.json"))
    text = shown.getvalue()
    assert text.count("[red]a.txt") == 40
    assert "59 problems: 59 zero area. All of them: problems.json" in text


def test_nothing_usable_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = yolo_set(tmp_path / "set", {"a": GOOD})
    (root / "images/a.jpg").write_bytes(b"")
    assert read_yolo(root, tmp_path / "shards") == 1
    assert capsys.readouterr().err.endswith("is usable.\n")
    assert (tmp_path / "shards/problems.json").exists()
    assert not (tmp_path / "shards/index.json").exists()


def test_wrong_usage_ends_with_2_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = yolo_set(tmp_path / "set", {"a": GOOD}), tmp_path / "shards"
    assert read_yolo(root, out) == 0
    (tmp_path / "s.json").write_text('{"schema": "edge-app/sources/1", "sources": [{"origin": "x", "licence": ""}]}')
    (tmp_path / "old.json").write_text('{"schema": "other"}')
    cases: dict[str, tuple[str | Path, ...]] = {
        "is in use": (root, out, *OURS),
        "is not there": (tmp_path / "nowhere", tmp_path / "x", *OURS),
        "--licence": (root, tmp_path / "x", "--origin", "me"),
        "--camera each": (root, tmp_path / "x", *OURS[:4]),
        "a licence is empty": (root, tmp_path / "x", "--sources", tmp_path / "s.json"),
        "not 'edge-app/sources/1'": (root, tmp_path / "x", "--sources", tmp_path / "old.json"),
        "cannot be read": (root, tmp_path / "x", "--sources", tmp_path / "none.json"),
        "not THEIRS=OURS": (root, tmp_path / "x", *OURS, "--class", "van"),
    }
    capsys.readouterr()
    for message, words in cases.items():
        assert run("import", *words[:1], "--format", "yolo", "--out", *words[1:]) == 2, message
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1
    assert read_yolo(root, out, *OURS, "--replace") == 0


def test_a_near_duplicate_across_the_split_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, light in (("left", 1.0), ("right", 0.8)):
        root = yolo_set(tmp_path / name, {name: GOOD})
        (root / f"images/{name}.jpg").write_bytes(encoded(1, 320, 180, light=light))
        assert read_yolo(root, tmp_path / f"{name}.s") == 0
    capsys.readouterr()
    others = yolo_set(tmp_path / "others", dict.fromkeys(("x1", "x2", "x3"), GOOD))
    assert read_yolo(others, tmp_path / "others.s") == 0
    words: list[str | Path] = ["split", tmp_path / "left.s", tmp_path / "others.s", "--validation", "x3"]
    words += ["--test-shards", tmp_path / "right.s", "--out", tmp_path / "split.json"]
    assert run(*words) == 1
    message = capsys.readouterr().err
    assert "left (camera left, train)" in message
    assert "right (camera right, test)" in message
    assert not (tmp_path / "split.json").exists()


def test_share_and_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = yolo_set(tmp_path / "set", {f"a{i}": "" for i in range(10)})
    assert read_yolo(root, tmp_path / "s") == 0
    assert run("split", tmp_path / "s", "--share", "0.2", "--out", tmp_path / "split.json") == 0
    assert len(splits.read(tmp_path / "split.json").validation) == 2
    with pytest.raises(SystemExit, match="2"):
        run("split", tmp_path / "s", "--share", "2", "--out", tmp_path / "split.json")
    shutil.copy(tmp_path / "set/images/a1.jpg", tmp_path / "s/part-00000.tfrecord")
    assert run("export", tmp_path / "s", "--format", "csv", "--out", tmp_path / "csv") == 1
    assert "damaged" in capsys.readouterr().err


@needs("detection")
@pytest.mark.parametrize(("part", "cameras"), [("train", 17), ("eval", 4), ("general", 1), ("cyclists", 0)])
def test_every_shared_picture_has_a_camera(part: str, cameras: int) -> None:
    sources = read_sources(ROOT / "models/data/road_sources.json")
    names = [path.stem for path in (SHARED / "detection" / part / "images").glob("*.jpg")]
    found = {name: find_known(name, "", sources) for name in names}
    assert [name for name, known in found.items() if known is None] == []
    assert len({known.camera for name, known in found.items() if known and known.camera != name}) == cameras


def test_the_sources_of_the_shared_pictures_are_whole() -> None:
    sources = read_sources(ROOT / "models/data/road_sources.json")
    assert {source.licence for source in sources} == {"CC-BY-2.0", "CC-BY-4.0", "MIT", "none stated"}
    rules = [rule for source in sources for rule in source.cameras if rule.numbers]
    claims = sorted((rule.prefix or "", a, b) for rule in rules for a, b in rule.numbers)
    overlaps = [(one, two) for one, two in pairwise(claims) if one[0] == two[0] and one[2] >= two[1]]
    assert overlaps == []
