"""Archive that installs a device without internet: complete for each Python, and installable on a bare Debian."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
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

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

GLIBC = {"3.10": 35, "3.11": 36, "3.13": 41}
"""Python of JetPack 6 (Ubuntu 22.04), Debian 12 and Debian 13 -> minor version of the system's glibc 2."""
X86_PYTHONS = ("3.11", "3.13")
"""Pythons with ai-edge-litert for x86-64: those of Debian 12 and 13."""
VARIABLE = "EDGE_APP_ARCHIVE"
QUICK = os.environ | {"PYTHON": sys.executable, "XZ_OPT": "-0"}
"""A test needs no small archive; packed as small as for a device it would take minutes."""

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
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=QUICK)
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


# --- the locked packages

LOCKS = ROOT / "deploy/locks"


def locked(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Return the packages of a lock file: name -> pin and hashes."""
    text = (LOCKS / f"{name}.txt").read_text("utf-8").replace("\\\n", " ")
    found: dict[str, tuple[Requirement, list[str]]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pin, *hashes = re.split(r"\s+--hash=", line.strip())
            found[canonicalize_name(Requirement(pin).name)] = Requirement(pin), hashes
    return found


def required(table: str, key: str) -> list[Requirement]:
    return [Requirement(text) for text in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[table][key]]


@pytest.mark.parametrize("name", sorted(path.stem for path in LOCKS.glob("*.txt")))
def test_every_package_has_one_version_and_its_hashes(name: str) -> None:
    packages = locked(name)
    assert packages
    for package, (pin, hashes) in packages.items():
        (only,) = pin.specifier
        assert (only.operator, pin.url) == ("==", None), package
        assert hashes, package
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes), package


@pytest.mark.parametrize("python", GLIBC)
def test_the_locked_packages_fit_the_requirements_of_the_program(python: str) -> None:
    """When this fails after a change of pyproject.toml, run deploy/lock.sh."""
    packages = locked(f"python-{python}")
    for processor in ("aarch64", "x86_64"):
        environment = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": processor}
        for need in required("project", "dependencies"):
            if need.marker is None or need.marker.evaluate(environment):
                pin, _ = packages[canonicalize_name(need.name)]
                (version,) = (one.version for one in pin.specifier)
                assert version in need.specifier, need
    (numpy,) = (one.version for one in packages["numpy"][0].specifier)
    assert (int(numpy.partition(".")[0]) < 2) is (python in ("3.10", "3.11")), "apt's packages are built with numpy 1"


def test_the_packages_that_build_the_wheel_are_locked_too() -> None:
    for need in required("build-system", "requires"):
        pin, _ = locked("build")[canonicalize_name(need.name)]
        assert next(iter(pin.specifier)).version in need.specifier


@pytest.mark.parametrize("name", ["archive.sh", "lock.sh"])
def test_every_download_requires_hashes(name: str) -> None:
    text = (ROOT / "deploy" / name).read_text("utf-8").replace("\\\n", " ")
    fetching = [line for line in text.splitlines() if re.search(r"\bpip (install|download|wheel)\b", line)]
    assert fetching
    assert [line for line in fetching if "--require-hashes" not in line and "--no-build-isolation" not in line] == []


@pytest.mark.parametrize(
    ("arguments", "problem"), [(("aarch64", "3.9"), "deploy/lock.sh"), (("riscv64",), "no wheels")]
)
def test_an_unknown_python_or_processor_is_refused(arguments: tuple[str, ...], problem: str) -> None:
    done = subprocess.run(("sh", ROOT / "deploy/archive.sh", *arguments), capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr


# --- the archive


@on_request
@pytest.mark.timeout(900)
def test_the_archive_has_a_checksum_and_its_files_belong_to_root(wheels: tuple[str, list[Path]]) -> None:
    path = archive(wheels[0], *(GLIBC if wheels[0] == "aarch64" else X86_PYTHONS))
    sums = (path.parent / "SHA256SUMS").read_text().splitlines()
    assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" in sums
    with tarfile.open(path) as packed:
        members = packed.getmembers()
    assert {(member.uid, member.gid) for member in members} == {(0, 0)}
    assert not [member.name for member in members if member.mode & 0o022]


@on_request
@pytest.mark.timeout(300)
def test_a_package_with_another_hash_makes_no_archive(tmp_path: Path) -> None:
    listed = subprocess.run(
        ("git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.splitlines():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    lock = tmp_path / "deploy/locks/python-3.11.txt"
    text = lock.read_text()
    begin = text.index("\ntomlkit==")
    lock.write_text(text[:begin] + re.sub("sha256:.", "sha256:0", text[begin:]))
    command = ("sh", str(tmp_path / "deploy/archive.sh"), "x86_64", "3.11")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=QUICK)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert list((tmp_path / "dist").iterdir()) == []


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
    assert "installed. Now: sudo" in done.stderr
    secrets = tree / "etc/edge-app/credentials"
    assert {file.stat().st_mode & 0o777 for file in secrets.iterdir()} == {0o600}
    done = bare_tree.inside(tree, bare_tree.PROGRAM, "--version")
    assert (done.returncode, done.stdout.split()[-1]) == (0, __version__), done.stderr
    bare_tree.check(tree)
