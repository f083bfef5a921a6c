"""What docs/serve.md shows runs as it stands there, against a real service."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.commands.serve import _PORT
from tests.support.paths import ROOT
from tests.support.pictures import encoded, street_picture
from tests.support.serving import Serving, serving
from tests.support.streets import recorded_street

pytestmark = pytest.mark.servers

TEXT = (ROOT / "docs/serve.md").read_text("utf-8")
ADDRESS = f"http://127.0.0.1:{_PORT}"


def blocks(language: str) -> list[str]:
    """Return the fenced blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(folder=tmp_path_factory.mktemp("service") / "jobs") as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files that the examples name."""
    (tmp_path / "road.jpg").write_bytes(encoded(street_picture()))
    (tmp_path / "other.png").write_bytes(encoded(street_picture(60), "PNG"))
    recorded_street(tmp_path / "street.mp4", 1)
    return tmp_path


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl: apt install curl")
def test_the_examples_for_curl_run(service: Serving, folder: Path) -> None:
    outputs = []
    for block in blocks("sh"):
        assert "curl" in block
        script = block.replace(ADDRESS, service.url).replace("curl ", "curl --silent --show-error --fail ")
        done = subprocess.run(("sh", "-eu"), input=script, text=True, capture_output=True, cwd=folder, timeout=100)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    shown = json.loads(re.sub(r"\.\.\.", "", blocks("json")[0]))
    answer = json.loads(outputs[0])
    assert set(answer) == set(shown)
    assert set(answer["boxes"][0]) == set(shown["boxes"][0])
    assert set(answer["ms"]) == set(shown["ms"])
    assert len(json.loads(outputs[1])["answers"]) == 2
    assert (folder / "drawn.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert json.loads((folder / "result.json").read_text())["schema"] == "edge-app/count-result/1"
    assert (folder / "annotated.mp4").stat().st_size > 1000
    assert service.http.get("/counts").json() == []


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl: apt install curl")
@pytest.mark.parametrize(
    ("content", "told"), [(b"no video", "this is no clip"), (b"\0\0\0\x18ftypmp42" + bytes(5000), '"state":"failed"')]
)
def test_the_loop_for_a_job_ends_when_it_goes_wrong(service: Serving, folder: Path, content: bytes, told: str) -> None:
    (folder / "street.mp4").write_bytes(content)
    script = next(block for block in blocks("sh") if "/counts" in block).replace(ADDRESS, service.url)
    done = subprocess.run(("sh", "-eu"), input=script, text=True, capture_output=True, cwd=folder, timeout=60)
    assert told in done.stdout
    assert service.http.get("/counts").json() == []


def test_the_examples_in_python_run(service: Serving, folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    outputs = []
    for block in blocks("python"):
        command = (sys.executable, "-c", block.replace(ADDRESS, service.url))
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=100)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0].startswith(("car", "truck", "bus", "motorcycle", "bicycle"))
    assert "{'main': {" in outputs[1]
    assert service.http.get("/counts").json() == []


def test_every_route_is_in_the_table(service: Serving) -> None:
    for path, methods in service.http.get("/openapi.json").json()["paths"].items():
        for method in methods:
            shown = path.replace("{job}", "JOB")
            assert re.search(rf"`(?:{method.upper()} )?{shown}[?`]", TEXT), f"{method} {path}"
