"""Container and compose file: without root, read-only, healthy by a route that exists; its steps in a bare tree."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edge_app.cli import _parser
from edge_app.commands.serve import _PORT
from edge_app.serve.access import new_token
from edge_app.serve.entrance import OPEN
from tests.support import container_tree
from tests.support.container_tree import steps
from tests.support.paths import ROOT

FOLDER = ROOT / "deploy/container"
STEPS = steps(FOLDER / "Containerfile")
VARIABLE = "EDGE_APP_CONTAINER"


def value(word: str) -> str:
    """Return what stands behind a word at the beginning of the last line that has it."""
    return dict(STEPS)[word]


def test_the_command_is_one_that_the_program_takes() -> None:
    command: list[str] = json.loads(value("ENTRYPOINT")) + json.loads(value("CMD"))
    assert command[0] == "/opt/edge-app/bin/edge-app"
    parsed = _parser().parse_args(command[1:])
    assert (parsed.port, str(parsed.folder), str(parsed.tokens)) == (_PORT, value("VOLUME"), "/etc/edge-app/tokens")
    assert value("EXPOSE") == str(_PORT)


def test_it_has_no_root_and_asks_a_route_that_needs_no_token() -> None:
    assert int(value("USER")) > 0
    check = json.loads(value("HEALTHCHECK").partition("CMD ")[2])
    compile(check[2], "health check", "exec")
    asked = re.search(rf":{_PORT}(/[\w/]+)", check[2])
    assert asked is not None
    assert asked[1] in OPEN


def test_compose_runs_it_read_only_and_on_loopback() -> None:
    (service,) = yaml.safe_load((FOLDER / "compose.yml").read_text("utf-8"))["services"].values()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["ports"] == [f"127.0.0.1:{_PORT}:{_PORT}"]
    assert (FOLDER / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert {volume.split(":")[1] for volume in service["volumes"]} == {value("VOLUME"), "/etc/edge-app"}


@pytest.mark.skipif(
    not os.environ.get(VARIABLE),
    reason=f"fetches a bare Debian and the packages (minutes, 600 MB; root): set {VARIABLE}=1 to run it",
)
@pytest.mark.timeout(1800)
def test_its_steps_make_a_service_in_a_bare_tree(tmp_path: Path) -> None:
    for old in (ROOT / "dist").glob("edge_app-*.whl"):
        old.unlink()
    wheel = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ".")
    subprocess.run(wheel, cwd=ROOT, check=True)
    tree, data, tokens = ROOT / "build/container", tmp_path / "data", tmp_path / "tokens"
    container_tree.build(FOLDER / "Containerfile", tree)
    token, line = new_token("me", ["predict", "counts"])
    tokens.write_text(line)
    tokens.chmod(0o644)
    data.mkdir()
    told = container_tree.run(FOLDER / "Containerfile", tree, data, tokens, token)
    assert "healthy" in told, told
    assert "written" not in told
    assert value("USER") in told.splitlines()
    assert "3 boxes" in told, told
    assert "40 frames done" in told, told
    assert "ended 0" in told, told
