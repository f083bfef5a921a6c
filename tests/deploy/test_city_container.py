"""Container and compose file of the city side: without root, read-only, with commands and keys that exist."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import yaml

from edge_app.city.config import load
from edge_app.cli import _parser
from tests.support.container_tree import steps
from tests.support.paths import ROOT

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
