"""Container and compose file of the city side: without root, read-only, with commands and keys that exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edge_app.city.config import load
from edge_app.cli import _parser
from edge_app.mqtt.device_messages import Meta
from edge_app.mqtt.encoding import encode
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT as TOPICS
from tests.deploy.test_container import VARIABLE
from tests.support import city_container, container_tree
from tests.support.brokers import mosquitto, run_until, session
from tests.support.container_tree import steps
from tests.support.paths import ROOT
from tests.support.postgres import PROGRAMS, postgres

FOLDER = ROOT / "deploy/city/container"
TOLD = dict(steps(FOLDER / "Containerfile"))
SERVICES = yaml.safe_load((FOLDER / "compose.yml").read_text("utf-8"))["services"]


def test_the_commands_are_ones_that_the_program_takes() -> None:
    program, *first = json.loads(TOLD["ENTRYPOINT"])
    assert program == "/opt/edge-app/bin/edge-app"
    for command in (json.loads(TOLD["CMD"]), SERVICES["worker"]["command"]):
        parsed = _parser().parse_args([*first, *command])
        assert str(parsed.config) == "/etc/edge-app-city/city.toml"


def test_its_configuration_is_valid_and_fits_to_the_other_files(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "city.toml", tmp_path)
    (tmp_path / "database.password").write_text("secret")
    config = load(tmp_path / "city.toml", {})
    assert config.ingest.shared  # there is a second worker
    assert config.database.url == "postgresql://database:5432/counts"
    assert SERVICES["database"]["environment"]["POSTGRES_USER"] == config.database.username
    caddy = (FOLDER / "Caddyfile").read_text("utf-8")
    assert f"reverse_proxy {config.page.host}:{config.page.port}" in caddy
    assert re.search(rf"^{re.escape(config.page.origin.removeprefix('https://'))} {{", caddy, re.MULTILINE)
    assert f"{config.page.host}:{config.page.port}/" in TOLD["HEALTHCHECK"]


def test_it_has_no_root_and_shows_nothing_but_the_proxy() -> None:
    assert int(TOLD["USER"]) > 0
    for name in ("page", "worker"):
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert (FOLDER / SERVICES[name]["build"]["context"]).resolve() == ROOT
        assert (ROOT / SERVICES[name]["build"]["dockerfile"]).is_file()
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert SERVICES["page"]["network_mode"] == "service:proxy"


@pytest.mark.skipif(
    not os.environ.get(VARIABLE) or PROGRAMS is None,
    reason=f"fetches a bare Debian and the packages (minutes, 600 MB; root; PostgreSQL): set {VARIABLE}=1 to run it",
)
@pytest.mark.timeout(1800)
def test_its_steps_make_a_page_and_a_worker_in_a_bare_tree(tmp_path: Path) -> None:
    for old in (ROOT / "dist").glob("edge_app-*.whl"):
        old.unlink()
    wheel = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ".")
    subprocess.run(wheel, cwd=ROOT, check=True)
    tree, data, config = ROOT / "build/container", tmp_path / "data", tmp_path / "city"
    container_tree.build(FOLDER / "Containerfile", tree)
    for folder in (data, config):
        folder.mkdir()
    (config / "database.password").write_text("secret")
    text = (FOLDER / "city.toml").read_text("utf-8")
    text = re.sub(r"(?m)^(tls|\w+_file) .*\n", lambda line: line[0] if "password" in line[0] else "", text)
    with postgres() as server, mosquitto(tmp_path / "broker", "allow_anonymous true") as broker:
        for before, new in (
            ("broker.example", "127.0.0.1"),
            ("8883", str(broker.port)),
            ("database:5432/counts", f"127.0.0.1:{server.port}/postgres"),
        ):
            assert before in text
            text = text.replace(before, new)
        (config / "city.toml").write_text(text)
        meta = Meta.model_validate(EXAMPLES["meta"])
        told = session(broker.port)
        run_until(told, Connected)
        topic = f"{TOPICS}/{meta.site}/{meta.device}/meta"
        told.publish(Message(topic, encode(meta).encode(), qos=1, retained=True))
        run_until(told, Acked)
        told.close()
        printed = city_container.run(FOLDER / "Containerfile", tree, data, config, SERVICES["worker"]["command"])
    lines = printed.splitlines()
    assert "healthy" in lines, printed
    assert "written" not in lines, printed
    assert TOLD["USER"] in lines, printed
    assert any(line.endswith("] connected") and line != "[] connected" for line in lines), printed
    assert not [line for line in lines if line.startswith("FAIL")], printed
    assert {"page ended 0", "worker ended 0"} <= set(lines), printed
