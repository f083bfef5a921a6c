"""Test deploy/install.sh, which root runs, in folders that belong to another user."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SCRIPTS = sorted((ROOT / "deploy").rglob("*.sh"))
PLANTED = ("venv", "pip", "ensurepip", "sitecustomize", "usercustomize", "runpy")
PROGRAMS = ("dirname", "basename", "id", "install", "readlink", "date", "dpkg-query", "sed", "rm")


def _may_make_a_namespace() -> bool:
    return not os.geteuid() and not subprocess.run(("unshare", "--mount", "true"), capture_output=True).returncode


needs_namespace = pytest.mark.skipif(
    not shutil.which("unshare") or not _may_make_a_namespace(), reason="only root may mount over /etc and /opt"
)
needs_venv = pytest.mark.skipif(
    subprocess.run(("/usr/bin/python3", "-I", "-c", "import ensurepip"), capture_output=True).returncode != 0,
    reason="needs python3-venv: apt install python3-venv",
)


@pytest.mark.long
@needs_namespace
@needs_venv
def test_root_runs_no_file_of_the_callers_folder(tmp_path: Path) -> None:
    """Nor one that PATH or PYTHONPATH names. The installer runs up to the environment, for which /opt is too small."""
    here, archive = tmp_path / "other user's", tmp_path / "archive"
    (here / "bin").mkdir(parents=True)
    for name in PLANTED:
        (here / f"{name}.py").write_text(f"open({str(here / 'ran')!r}, 'a').write('{name} ')\n")
    for name in PROGRAMS:
        (here / "bin" / name).write_text(f'#!/bin/sh\necho {name} >>"{here}/ran"\nexec /usr/bin/{name} "$@"\n')
        (here / "bin" / name).chmod(0o755)
    (archive / "wheels").mkdir(parents=True)
    for name in ("install.sh", "releases.sh"):
        shutil.copy(ROOT / "deploy" / name, archive)
    (archive / "processor").write_text(platform.machine())
    (archive / "pythons").write_text(" ".join(f"3.{minor}" for minor in range(9, 20)))
    done = subprocess.run(
        ("sha256sum", "./processor", "./releases.sh"), cwd=archive, capture_output=True, text=True, check=True
    )
    (archive / "SHA256SUMS").write_text(done.stdout)
    shutil.copytree("/etc", tmp_path / "etc", symlinks=True, ignore_dangling_symlinks=True)
    # its changes are gone with the namespace
    own = 'mount --bind "$1" /etc && mount -t tmpfs -o size=64k none /opt && mount -t tmpfs none /var/log'
    script = f'{own} && cd "$2" && exec sh "$3" install'
    done = subprocess.run(
        ("unshare", "--mount", "sh", "-c", script, "sh", tmp_path / "etc", here, "../archive/install.sh"),
        capture_output=True,
        text=True,
        timeout=100,
        env={"PATH": f"{here / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(here), "HOME": str(here)},
    )
    assert "no environment could be made" in done.stderr
    assert done.returncode == 1
    assert not (here / "ran").exists(), (here / "ran").read_text()


@pytest.mark.parametrize("name", ["plain", "a b", "-rf", "x[1]#@*", "it's \"$(touch ran)`touch ran`", "line\nbreak"])
def test_a_wrong_call_shows_the_usage_from_any_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    script = shutil.copy(ROOT / "deploy/install.sh", folder)
    shutil.copy(ROOT / "deploy/releases.sh", folder)
    for call, cwd in ((script, tmp_path), ("install.sh", folder)):
        done = subprocess.run(("sh", call, "x"), cwd=cwd, capture_output=True, text=True, timeout=10)
        assert done.returncode == 2
        assert "install.sh uninstall [--purge]" in done.stderr
    assert not list(tmp_path.rglob("ran"))


INSTALLERS = [ROOT / "deploy/install.sh", ROOT / "deploy/city/install.sh"]


def unpacked(folder: Path, installer: Path) -> Path:
    """Return an archive with an installer and its library alone, which a script in the folder above could replace."""
    archive = folder / "archive"
    archive.mkdir()
    for script in (installer, ROOT / "deploy/releases.sh"):
        shutil.copy(script, archive)
    summed = ("sha256sum", "./install.sh", "./releases.sh")
    done = subprocess.run(summed, cwd=archive, capture_output=True, text=True, check=True)
    (archive / "SHA256SUMS").write_text(done.stdout)
    (folder / "releases.sh").write_text(f"touch {folder / 'ran'}\n")
    return archive


def called(archive: Path) -> tuple[int, str]:
    done = subprocess.run(("sh", archive / "install.sh", "x"), capture_output=True, text=True, timeout=10, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("installer", INSTALLERS, ids=["device", "city"])
def test_no_library_is_run_before_it_is_compared(tmp_path: Path, installer: Path) -> None:
    archive = unpacked(tmp_path, installer)
    library, sums = archive / "releases.sh", archive / "SHA256SUMS"
    assert called(archive)[0] == 2  # the wrong call alone
    whole, told = library.read_text(), sums.read_text()
    library.write_text(f"touch {tmp_path / 'ran'}\n{whole}")
    code, error = called(archive)
    assert (code, error.startswith("install: the archive is damaged: copy it again")) == (1, True)
    sums.write_text("".join(line for line in told.splitlines(True) if "releases.sh" not in line))
    assert called(archive)[0] == 1
    library.unlink()
    code, error = called(archive)
    assert (code, error.startswith("install: releases.sh is missing beside")) == (1, True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("seconds", ["abc", "1.5", "12 0", "0x10", "-5"])
def test_a_wrong_time_is_told_before_anything_is_done(seconds: str) -> None:
    """Later the new release would run, and nobody would go back; here it stands before the check of the call itself."""
    done = subprocess.run(
        ("sh", ROOT / "deploy/install.sh", "x"),
        env={"HEALTHY_S": seconds},
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert done.returncode == 2
    assert done.stderr == f"install: HEALTHY_S is '{seconds}': give whole seconds, such as 120\n"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_python_never_searches_the_current_folder_for_modules(script: Path) -> None:
    """-m and -c put the current folder first in the module search path; -I does not."""
    for number, line in enumerate(script.read_text("utf-8").splitlines(), 1):
        if re.search(r"(python\S*|^ *\"\$1\") .*(-m|-c)\b", line.partition("#")[0]):
            assert re.search(r"(python\S*|^ *\"\$1\") -I ", line), f"{script.name}:{number}: {line.strip()}"
