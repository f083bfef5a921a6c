"""Test that the maker and the licence of each picture go with it, from a list to shards, an export and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.data import shards
from models.data.commands import main
from models.data.credits import read_credits, spdx
from models.data.errors import UsageError
from tests.support.annotated import yolo_set

GOOD = "1 0.5 0.5 0.2 0.2\n"
LIST = "image,source,licence,more\na.jpg,https://example.org/7,CC BY 2.0,x\nsub/b.png,,CC BY-SA 2.0,\n"


def run(*words: str | Path) -> int:
    """Run a command. Return its exit code."""
    return main([str(word) for word in words])


def known(folder: Path) -> dict[str, tuple[str, str]]:
    """Return name of a picture -> licence and credit in shards."""
    return {entry.name: (entry.licence, entry.credit) for entry in shards.read_index(folder).entries}


def test_credits_go_with_the_pictures_through_an_export(tmp_path: Path) -> None:
    root = yolo_set(tmp_path / "set", dict.fromkeys(("a", "sub/b", "c"), GOOD))
    (tmp_path / "credits.csv").write_text(LIST)
    options = ("--origin", "x", "--licence", "MIT", "--camera", "each", "--credits", tmp_path / "credits.csv")
    assert run("import", root, "--format", "yolo", "--out", tmp_path / "one", *options) == 0
    wanted = {"a": ("CC-BY-2.0", "https://example.org/7"), "sub/b": ("CC-BY-SA-2.0", ""), "c": ("MIT", "")}
    assert known(tmp_path / "one") == wanted
    (first, *_) = shards.read([tmp_path / "one"])
    assert (first.name, first.credit) == ("a", "https://example.org/7")
    assert run("export", tmp_path / "one", "--format", "coco", "--out", tmp_path / "coco") == 0
    again = ("--sources", tmp_path / "coco/sources.json", "--credits", tmp_path / "coco/credits.csv")
    assert run("import", tmp_path / "coco", "--format", "coco", "--out", tmp_path / "two", *again) == 0
    assert known(tmp_path / "two") == wanted


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("CC BY 2.0", "CC-BY-2.0"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("CC BY-NC-ND 3.0", "CC-BY-NC-ND-3.0"),
        ("CC BY 4.0 (stated)", "CC-BY-4.0"),
        ("", "none stated"),
        ("no known copyright restrictions", "none stated"),
        ("MIT", "MIT"),
    ],
)
def test_licences_become_spdx_ids(text: str, licence: str) -> None:
    assert spdx(text) == licence


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "image,credit\na,b\n", b"\xff\xfe"])
def test_another_file_is_no_list_of_credits(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "credits.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match="is no list of credits"):
        read_credits(path)
