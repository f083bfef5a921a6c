"""The licence is stated where people and tools look, and everything the weights were made from is named."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.support.paths import ARTEFACTS, ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    command = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w")
    subprocess.run([*command, folder, ROOT], check=True, capture_output=True, timeout=100)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        yield archive


def test_the_package_states_its_licence_and_carries_its_text(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert HeaderParser().parsestr(wheel.read(metadata).decode())["License"] == "Apache-2.0"
    for name in ("LICENSE", "NOTICE"):
        carried = [wheel.read(path) for path in wheel.namelist() if Path(path).name == name]
        assert len(carried) == 2, "of the program in its dist-info, and beside the weights"
        assert set(carried) == {(ROOT / name).read_bytes()}


def test_the_archive_for_devices_carries_licence_and_notice() -> None:
    copied = [line for line in (ROOT / "deploy/archive.sh").read_text().splitlines() if line.startswith("cp ")]
    assert {"LICENSE", "NOTICE"} <= set(" ".join(copied).split())


@pytest.mark.parametrize("manifest", sorted(ARTEFACTS.glob("*.json")), ids=lambda path: path.stem)
def test_the_notice_names_every_set_of_pictures_that_the_weights_learned_from(manifest: Path) -> None:
    content, notice = json.loads(manifest.read_text()), (ROOT / "NOTICE").read_text()
    assert content["licence"] == "Apache-2.0"
    assert content["origin"]["package"] in notice
    sets = [row["name"] for row in content["origin"].get("training", {}).get("data", []) if "own" not in row["licence"]]
    assert [name for name in sets if name.removeprefix("Roboflow ") not in notice] == []
