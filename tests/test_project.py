"""Test what surrounds the program: the wheel, the make targets of a fresh machine, and the files of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MODEL = "edge_app/models/ssdlite_mobilenet_v2_512x288"
MEDIA = re.compile(r"\.(mp4|m4v|avi|mkv|mov|webm|ts|h264|mjpe?g|jpe?g|png|gif|bmp|webp|wav)$", re.IGNORECASE)
MACHINE_PATH = re.compile(rb"(^|[^A-Za-z0-9_.])/(work|farm|root|home/[a-z]+)/", re.MULTILINE)

needs_make = pytest.mark.skipif(not shutil.which("make"), reason="needs make (apt install make)")
needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="needs bash (apt install bash)")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def project_files() -> list[Path]:
    """Return every file that is or would be committed, relative to the root."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing says which files belong to the project")
    # git refuses a checkout of another user; for a listing that is no danger.
    listing = ("git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z")
    done = run(*listing, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [Path(name) for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


# --- the wheel


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from this tree without the network, and return the folder in which it is unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    done = run(sys.executable, "-m", "pip", "wheel", *offline, ROOT, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("edge_app-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def python_with(unpacked: Path, code: str) -> list[str]:
    """Return the lines that code prints when the unpacked wheel comes first on its path, outside of the checkout."""
    done = run(sys.executable, "-c", code, cwd=unpacked.parent, PYTHONPATH=str(unpacked))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", [f"{MODEL}.tflite", f"{MODEL}.json", "edge_app/models/NOTICE", "edge_app/py.typed"])
def test_the_wheel_carries_the_default_detector_and_its_notice(unpacked: Path, name: str) -> None:
    source = next(
        path for top in ("models/artefacts", "", "edge_app") if (path := ROOT / top / Path(name).name).exists()
    )
    assert (unpacked / name).read_bytes() == source.read_bytes()


def test_the_notice_names_the_licence_of_the_weights(unpacked: Path) -> None:
    assert "Apache" in (unpacked / "edge_app/models/NOTICE").read_text("utf-8")


def test_the_wheel_leaves_no_file_of_the_package_behind(unpacked: Path, project_files: list[Path]) -> None:
    package = [path for path in project_files if path.parts[0] == "edge_app"]
    assert package
    assert [path for path in package if not (unpacked / path).exists()] == []


def test_the_wheel_contains_the_program_alone(unpacked: Path) -> None:
    tops = {path.name for path in unpacked.iterdir()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"edge_app"}


def test_the_installed_program_loads_the_detector_inside_its_own_package(unpacked: Path) -> None:
    code = "import edge_app; from edge_app.detectors.tflite import TfliteDetector; "
    code += "print(edge_app.__file__); print(TfliteDetector().path)"
    program, model = python_with(unpacked, code)
    assert Path(program).parent == unpacked / "edge_app"
    assert Path(model) == unpacked / f"{MODEL}.tflite"


def test_every_console_command_answers_to_help(unpacked: Path) -> None:
    find = "from importlib.metadata import distributions as d; "
    find += f"print(*(e.name for x in d(path=[{str(unpacked)!r}]) for e in x.entry_points), sep='\\n')"
    names = python_with(unpacked, find)
    assert "edge-app" in names
    for name in names:
        call = f"import sys; from importlib.metadata import entry_points; sys.argv = [{name!r}, '--help']; "
        call += f"(e,) = set(entry_points(group='console_scripts', name={name!r})); sys.exit(e.load()())"
        assert name in python_with(unpacked, call)[0]


# --- the archive

DOCUMENTS_OF_MODELS = ("models/README.md", "models/MODEL_CARD.md")
PYTHON_STAND_IN = """\
#!/bin/sh
case "$3 $4" in
"venv --clear") mkdir -p "$5/bin" && cp "$0" "$5/bin/python" ;;
"pip wheel") touch "$9/edge_app-1.2-py3-none-any.whl" ;;
esac
"""
"""Takes `-I -m venv --clear FOLDER` and `-I -m pip COMMAND`; of pip's commands only `wheel` makes a file."""


def test_the_archive_carries_the_licence_and_the_documents(tmp_path: Path) -> None:
    for name in ("deploy", "systemd", "docs", "models/artefacts/card"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("LICENSE", "NOTICE", *(path.name for path in ROOT.glob("*.md")), *DOCUMENTS_OF_MODELS):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / "python"
    python.write_text(PYTHON_STAND_IN)
    python.chmod(0o755)
    key = tmp_path / "release.key"
    assert run("openssl", "genpkey", "-algorithm", "ed25519", "-out", key, cwd=tmp_path).returncode == 0
    done = run("sh", tmp_path / "deploy/archive.sh", cwd=tmp_path, PYTHON=str(python), RELEASE_KEY=str(key))
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / done.stdout.strip()) as archive:
        archive.extractall(tmp_path / "unpacked")
        held = {name.partition("/")[2] for name in archive.getnames()}
    pages = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "docs").rglob("*.md")}
    scripts = {"install.sh", "releases.sh", "slim.py", "unpack.py", "deploy/broker/ca.sh", "deploy/broker/acl"}
    assert {"LICENSE", "NOTICE", "README.md", "systemd/edge-app.service", *scripts, *pages} <= held
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert (unpacked / "processor").read_text() == "aarch64\n"
    sums = (unpacked / "SHA256SUMS").read_text().splitlines()
    assert len(sums) == sum(path.is_file() for path in unpacked.rglob("*")) - 1
    assert run("sha256sum", "--check", "--quiet", "SHA256SUMS", cwd=unpacked).returncode == 0
    signed = ("-rawin", "-inkey", key, "-in", "dist/SHA256SUMS", "-sigfile", "dist/SHA256SUMS.sig")
    assert run("openssl", "pkeyutl", "-verify", *signed, cwd=tmp_path).returncode == 0
    dead = [
        (page, link)
        for page in sorted(name for name in held if name.endswith(".md"))
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (tmp_path / page).read_text("utf-8"))
        if os.path.normpath(Path(page).parent / link) not in held
    ]
    assert dead == []
    (checksum,) = (tmp_path / "dist/SHA256SUMS").read_text().splitlines()
    assert checksum.endswith(f"  {Path(done.stdout.strip()).name}")


def test_python_m_is_the_same_program(unpacked: Path) -> None:
    code = "import runpy, sys; sys.argv = ['edge_app', '--version']; runpy.run_module('edge_app', run_name='__main__')"
    done = run(sys.executable, "-c", code, cwd=unpacked.parent, PYTHONPATH=str(unpacked))
    assert (done.returncode, done.stdout.split()[0]) == (0, "edge-app"), done.stderr
    helped = run(sys.executable, "-m", "edge_app", "no-such-command", cwd=ROOT)
    assert helped.returncode == 2
    assert helped.stderr.startswith("usage: edge-app")


# --- a fresh machine


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


@needs_make
def test_make_alone_lists_every_target() -> None:
    shown = run("make", cwd=ROOT).stdout
    assert {"demo", "test"} <= targets()
    assert set(re.findall(r"^ +make (\w+) ", shown, re.MULTILINE)) == targets()


def test_the_readme_names_the_two_commands_and_none_that_is_absent() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(_code((ROOT / "README.md").read_text("utf-8")))))
    assert {"demo", "test"} <= named <= targets()


def _code(text: str) -> list[str]:
    return re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)


@needs_make
@needs_bash
@pytest.mark.parametrize(("recipe", "status"), [("true", 0), ("false", 1)])
def test_ci_fails_when_its_commands_fail(tmp_path: Path, recipe: str, status: int) -> None:
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / "Makefile").write_text(f"test test-servers smoke:\n\t@{recipe}\n")
    done = run("bash", script, cwd=tmp_path.parent, CI="true")
    assert bool(done.returncode) == bool(status), done.stdout + done.stderr


@pytest.fixture
def bare(tmp_path: Path) -> tuple[Path, str]:
    """Return prepare.sh in a tree of its own, and a PATH without apt and without the programs that tests need."""
    (tmp_path / "deploy").mkdir()
    script = Path(shutil.copy(ROOT / "deploy/prepare.sh", tmp_path / "deploy"))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname", "sed", "cut", "paste", "grep", "cat", "cksum"):
        (programs / name).symlink_to(shutil.which(name) or name)
    return script, str(programs)


def test_missing_packages_are_named_with_their_purpose_and_the_rest_goes_on(bare: tuple[Path, str]) -> None:
    script, path = bare
    done = run(script.parent.parent / "bin/sh", script, "test", cwd=script.parent, PATH=path, PYTHON="no-such-python")
    assert "the tests that need them are skipped" in done.stderr
    assert "gir1.2-gst-rtsp-server-1.0 - the RTSP server" in done.stderr
    assert re.search(r"sudo apt install .*\bpython3-gi\b", done.stderr)
    assert "no Python 3.10 to 3.14" in done.stderr  # it went on to the next step


@pytest.mark.parametrize("wanted", ["demo", "models"])
def test_without_a_fitting_python_it_fails_with_one_sentence(bare: tuple[Path, str], wanted: str) -> None:
    script, path = bare
    done = run(script.parent.parent / "bin/sh", script, wanted, cwd=script.parent, PATH=path, PYTHON="no-such-python")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "PYTHON=/path/to/python3" in done.stderr


def test_an_unknown_purpose_is_refused(bare: tuple[Path, str]) -> None:
    script, path = bare
    done = run(script.parent.parent / "bin/sh", script, "everything", cwd=script.parent, PATH=path)
    assert done.returncode == 1
    assert "demo, city, test, test-servers, models or smoke" in done.stderr


# --- the repository


def test_no_file_names_a_path_of_one_machine(project_files: list[Path]) -> None:
    texts = [path for path in project_files if path.suffix != ".tflite"]
    assert [path for path in texts if MACHINE_PATH.search((ROOT / path).read_bytes())] == []


def test_no_media_file_is_in_the_repository(project_files: list[Path]) -> None:
    assert [path for path in project_files if MEDIA.search(path.name)] == []
