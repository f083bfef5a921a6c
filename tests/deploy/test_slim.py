"""A release on the card: nothing that the counter loads is removed, and two releases share what is the same."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.support.paths import ROOT

_spec = importlib.util.spec_from_file_location("slim", ROOT / "deploy/slim.py")
assert _spec is not None
assert _spec.loader is not None
slim = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(slim)

LOADED = """
import json, sys
from edge_app.cli import main
import edge_app.drawing.video_file, edge_app.preview.rtsp, edge_app.storage.past_intervals, edge_app.web.history
assert main(["demo", "--seconds", "4"]) in (0, 1)
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
files += [line.split()[-1] for line in open("/proc/self/maps") if ".so" in line]
print(json.dumps([file.rpartition("site-packages/")[2] for file in files if "site-packages/" in file]))
"""


@pytest.mark.long
def test_nothing_that_is_loaded_is_removed() -> None:
    done = subprocess.run((sys.executable, "-c", LOADED), cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-1000:]
    loaded: list[str] = json.loads(done.stdout.splitlines()[-1])
    assert any(name.startswith("ai_edge_litert/") for name in loaded)
    assert any(name.startswith("cv2/") for name in loaded)
    # the environment of the tests has setuptools' hook for editable packages
    installers = re.compile(r"(_distutils_hack|setuptools|pkg_resources)/")
    gone = [
        (name, pattern)
        for name in loaded
        for pattern in slim.UNUSED
        for part in ("", *(str(folder) for folder in Path(name).parents))
        if (fnmatch(part or name, pattern)) and not installers.match(name)
    ]
    assert gone == []


def release(folder: Path, version: str) -> Path:
    packages = folder / "lib/python3.11/site-packages"
    (packages / "numpy/tests").mkdir(parents=True)
    (packages / "cv2/data").mkdir(parents=True)
    for name in ("numpy/__init__.py", "numpy/tests/test_x.py", "cv2/data/face.xml", "cv2/data/__init__.py"):
        (packages / name).write_text(f"# {name}\n")
    (packages / "program.py").write_text(f'VERSION = "{version}"\n')
    (packages / "of_python_4.py").write_text("new syntax\n")
    return packages


def test_two_releases_share_what_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = release(tmp_path / "1", "1"), release(tmp_path / "2", "2")
    for call in (["slim.py", str(tmp_path / "1")], ["slim.py", str(tmp_path / "2"), str(tmp_path / "1")]):
        monkeypatch.setattr(sys, "argv", call)
        slim.main()
    kept = {str(path.relative_to(second)) for path in second.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert kept == {"numpy/__init__.py", "cv2/data/__init__.py", "program.py", "of_python_4.py"}

    def shared(pattern: str) -> bool:
        (mine,), (theirs,) = second.glob(pattern), first.glob(pattern)
        return mine.samefile(theirs)

    assert shared("numpy/__init__.py")
    assert shared("numpy/__pycache__/__init__.*.pyc"), "bytecode is the same wherever the release lies"
    assert not shared("program.py")
    assert not shared("__pycache__/program.*.pyc")
    assert (first / "program.py").read_text() == 'VERSION = "1"\n'


def test_the_compiled_release_runs(tmp_path: Path) -> None:
    packages = release(tmp_path / "1", "1")
    slim.compile_all(tmp_path / "1")
    code = "import program, sys; print(program.VERSION, program.__spec__.cached)"
    done = subprocess.run((sys.executable, "-c", code), cwd=packages, capture_output=True, text=True, timeout=20)
    assert done.stdout.startswith("1 "), done.stderr
    assert Path(done.stdout.split()[1]).exists()
