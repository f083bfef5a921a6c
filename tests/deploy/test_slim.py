"""A release on the card: nothing that the counter loads is removed, and two releases share what is the same."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

_spec = importlib.util.spec_from_file_location("slim", ROOT / "deploy/slim.py")
assert _spec is not None
assert _spec.loader is not None
slim = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(slim)

KEPT = ("numpy/__init__.py", "cv2/data/__init__.py", "of_python_4.py")

LOADED = """
import importlib, json, pkgutil, sys
import edge_app
from edge_app.cli import main
ELSEWHERE = ("edge_app.serve", "edge_app.city", "edge_app.http", "edge_app.commands.serve", "edge_app.__main__")
for module in pkgutil.walk_packages(edge_app.__path__, "edge_app."):
    if not module.name.startswith(ELSEWHERE):
        importlib.import_module(module.name)
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
    assert [name for name in loaded if slim.unused(name) and not installers.match(name)] == []


def release(folder: Path, version: str) -> Path:
    packages = folder / "lib/python3.11/site-packages"
    files = {name: f"# {name}\n" for name in (*KEPT, "numpy/tests/test_x.py", "cv2/data/face.xml", "tqdm/__init__.py")}
    files["program.py"] = f'VERSION = "{version}"\n'
    files["of_python_4.py"] = "new syntax\n"
    files["numpy-1.dist-info/RECORD"] = "numpy/__init__.py,,\nnumpy/tests/test_x.py,,\nnumpy-1.dist-info/RECORD,,\n"
    files["tqdm-4.dist-info/RECORD"] = "../../../bin/tqdm,,\ntqdm/__init__.py,,\ntqdm-4.dist-info/RECORD,,\n"
    for name, text in files.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)
    (folder / "bin").mkdir()
    for name in ("edge-app", "python3", "tqdm"):
        (folder / "bin" / name).touch()
    return packages


def test_two_releases_share_what_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = release(tmp_path / "1", "1"), release(tmp_path / "2", "2")
    for call in (["slim.py", str(tmp_path / "1")], ["slim.py", str(tmp_path / "2"), str(tmp_path / "1")]):
        monkeypatch.setattr(sys, "argv", call)
        slim.main()
    kept = {str(path.relative_to(second)) for path in second.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert kept == {*KEPT, "program.py", "numpy-1.dist-info/RECORD"}
    assert {path.name for path in (tmp_path / "2/bin").iterdir()} == {"edge-app", "python3"}

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


def test_a_wheel_without_what_is_unused_installs(tmp_path: Path) -> None:
    about = "tqdm-4.0.dist-info"
    files = {
        "tqdm/__init__.py": "",
        "thing/__init__.py": "WORKS = True\n",
        "thing/tests/test_thing.py": "",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: tqdm\nVersion: 4.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    wheel = tmp_path / "tqdm-4.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
        packed.writestr(f"{about}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{about}/RECORD")))
    slim.slim_wheel(wheel)
    target = tmp_path / "target"
    pip = (sys.executable, "-I", "-m", "pip", "install", "--no-index", "--no-deps", "--target", str(target), str(wheel))
    done = subprocess.run(pip, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in target.iterdir()) == ["thing", about]
    assert not (target / "thing/tests").exists()
    assert "tests" not in (target / about / "RECORD").read_text()
