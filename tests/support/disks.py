"""Disks that are full or cannot be written, for tests."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_file_system(folder: Path) -> Iterator[Path]:
    """Mount a file system of 400 KB at a new folder. Raises RuntimeError: where it may not be mounted."""
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=400k", "none", str(folder))
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise RuntimeError("only root may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 400 KB, or skip the test."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(small_file_system(tmp_path / "disk"))
        except RuntimeError as error:
            pytest.skip(str(error))
        yield disk


def fill_disk(disk: Path) -> Path:
    """Write a file until the disk is full, and return it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 512):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk never got full")


@contextmanager
def writes_refused(beyond: int) -> Iterator[None]:
    """Let no file of this process grow beyond this number of bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
