"""Archive that installs a device without internet: complete for each Python, and installable on a bare Debian."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from edge_app import __version__
from tests.support import bare_tree
from tests.support.paths import ROOT

GLIBC = {"3.10": 35, "3.11": 36, "3.13": 41}
"""Python of JetPack 6 (Ubuntu 22.04), Debian 12 and Debian 13 -> minor version of the system's glibc 2."""
X86_PYTHONS = ("3.11", "3.13")
"""Pythons with ai-edge-litert for x86-64: those of Debian 12 and 13."""
VARIABLE = "EDGE_APP_ARCHIVE"

on_request = pytest.mark.skipif(
    not os.environ.get(VARIABLE),
    reason=f"fetches wheels and a bare Debian (a minute or two, 400 MB): set {VARIABLE}=1 to run it",
)


@pytest.fixture(scope="session", params=["aarch64", "x86_64"])
def wheels(request: pytest.FixtureRequest) -> tuple[str, list[Path]]:
    archive(request.param, *(GLIBC if request.param == "aarch64" else X86_PYTHONS))
    return request.param, sorted((ROOT / "build/archive" / request.param / "wheels").glob("*.whl"))


@functools.cache
def archive(processor: str, *pythons: str) -> Path:
    """Build the archive as `make archive` does, once for all tests; return its path."""
    command = ("sh", str(ROOT / "deploy/archive.sh"), processor, *pythons)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, env=os.environ | {"PYTHON": sys.executable}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return ROOT / done.stdout.strip().splitlines()[-1]


def tags(python: str, processor: str) -> set[Tag]:
    version = (int(python.split(".")[0]), int(python.split(".")[1]))
    linux = [f"manylinux_2_{minor}_{processor}" for minor in range(17, GLIBC[python] + 1)] + [
        f"manylinux2014_{processor}"
    ]
    return {*cpython_tags(version, platforms=linux), *compatible_tags(version, platforms=linux)}


def requirements(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        head = HeaderParser().parsestr(packed.read(name).decode())
    return [Requirement(text) for text in head.get_all("Requires-Dist", [])]


def unusable(python: str, processor: str, wheels: list[Path]) -> list[str]:
    """Return the wheels that pip cannot use on this Python, each with the requirement that it misses.

    A wheel is unusable when no usable wheel satisfies one of its requirements. Removing it may make others unusable, so
    this is repeated until nothing changes.
    """
    fitting = tags(python, processor)
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": processor,
        "extra": "",
    }
    usable = [wheel for wheel in wheels if parse_wheel_filename(wheel.name)[3] & fitting]
    unusable_wheels: list[str] = []
    while True:
        versions = [parse_wheel_filename(wheel.name)[:2] for wheel in usable]
        bad = {
            wheel: need
            for wheel in usable
            for need in requirements(wheel)
            if (need.marker is None or need.marker.evaluate(environment))
            and not any(
                name == canonicalize_name(need.name) and version in need.specifier for name, version in versions
            )
        }
        if not bad:
            return unusable_wheels
        unusable_wheels += [f"{wheel.name} needs {need}" for wheel, need in bad.items()]
        usable = [wheel for wheel in usable if wheel not in bad]


@on_request
@pytest.mark.timeout(900)
def test_the_archive_holds_every_requirement_of_each_python(wheels: tuple[str, list[Path]]) -> None:
    processor, files = wheels
    for python in GLIBC if processor == "aarch64" else X86_PYTHONS:
        missing = unusable(python, processor, files)
        assert not any(text.startswith("edge_app-") for text in missing), (python, missing)


@on_request
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("debootstrap"), reason="needs root and debootstrap")
def test_it_installs_on_a_bare_debian_without_a_network(pytestconfig: pytest.Config) -> None:
    processor = platform.machine()
    tree = pytestconfig.cache.mkdir("bare-tree") / f"bookworm-{processor}"
    try:
        bare_tree.make(tree, processor)
    except OSError as error:
        pytest.skip(f"no bare Debian can be made here: {error}")
    assert bare_tree.inside(tree, "sh", "-c", "tail -n +3 /proc/net/dev | grep -v lo:").returncode == 1, (
        "there is a network"
    )
    done = bare_tree.install(tree, archive(processor, *X86_PYTHONS), fps=10.0)
    assert done.returncode == 0, done.stderr
    assert "installed. Now write /etc/edge-app/edge-app.toml" in done.stderr
    secrets = tree / "etc/edge-app/credentials"
    assert {file.stat().st_mode & 0o777 for file in secrets.iterdir()} == {0o600}
    done = bare_tree.inside(tree, bare_tree.PROGRAM, "--version")
    assert (done.returncode, done.stdout.split()[-1]) == (0, __version__), done.stderr
    bare_tree.check(tree)
