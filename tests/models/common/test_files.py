"""Test that files are replaced in one step and that JSON has one form."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.common import files
from models.common.files import json_bytes, replace_file


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file.json"
    replace_file(path, b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    replace_file(path, b"old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_json_is_indented_and_keeps_letters_outside_ascii() -> None:
    assert json_bytes({"camera": "küste"}) == '{\n  "camera": "küste"\n}\n'.encode()


def test_a_full_disk_is_told_with_the_files_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_atomic", full)
    with pytest.raises(OSError, match="No space left") as raised:
        files.replace_file(tmp_path / "deep" / "weights.npz", b"x")
    assert raised.value.filename == str(tmp_path / "deep" / "weights.npz")
