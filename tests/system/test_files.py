"""Test that a file is replaced as a whole, whatever lies in its place, and that nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.system.files import write_atomic
from tests.support.disks import small_disk
from tests.support.paths import ROOT

__all__ = ["small_disk"]  # a fixture


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_file_obeys_the_umask_and_a_replaced_one_keeps_its_mode(tmp_path: Path) -> None:
    path, before = tmp_path / "a.json", os.umask(0o027)
    try:
        write_atomic(path, "new\r\n")
    finally:
        os.umask(before)
    assert (path.read_bytes(), mode(path)) == (b"new\r\n", 0o640)
    path.chmod(0o604)
    write_atomic(path, b"newer")
    assert (path.read_bytes(), mode(path)) == (b"newer", 0o604)
    write_atomic(path, b"private", mode=0o600)
    assert mode(path) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["a.json"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    (tmp_path / "target").write_text("old")
    link.symlink_to("target")
    write_atomic(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_links_in_a_circle_are_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        write_atomic(tmp_path / "loop", "x")


def test_standard_output_is_written_to_also_when_it_is_a_pipe() -> None:
    code = "from pathlib import Path; from edge_app.system.files import write_atomic; "
    code += "write_atomic(Path('/dev/stdout'), 'result')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "result"


def test_a_long_name_and_one_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomic(Path("n" * 255), "long")
    assert Path("n" * 255).read_text() == "long"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(small_disk: Path) -> None:
    path = small_disk / "a"
    write_atomic(path, "old")
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, bytes(10_000_000))
    assert path.read_text() == "old"
    assert [found.name for found in small_disk.iterdir() if found.is_file()] == ["a"]
