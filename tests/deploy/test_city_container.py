"""Container and compose file of the city side: without root, read-only, with commands and keys that exist."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
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


def called(name: str, *arguments: str) -> list[str]:
    """Return the whole command of a service. arguments: instead of its own."""
    service = SERVICES[name]
    return [
        *(service.get("entrypoint") or json.loads(TOLD["ENTRYPOINT"])),
        *(arguments or service.get("command") or json.loads(TOLD["CMD"])),
    ]


def test_the_commands_are_ones_that_the_program_takes() -> None:
    for name in ("page", "worker", "office"):
        program, *command = called(name)
        assert program == "/opt/edge-app/bin/edge-app"
        assert str(_parser().parse_args(command).config) == "/etc/edge-app-city/city.toml"


def test_the_commands_of_the_page_are_ones_that_fit_to_both() -> None:
    text = (ROOT / "docs/city.md").read_text("utf-8")
    text = text[text.index("### In containers") :]
    lines = re.findall(r"(?m)^    docker compose ((?:[^#\n]|#(?! ))+)", text[: text.index("\n## ")])
    known, done = compose(), set()
    for line in lines:
        given = known.parse_args(shlex.split(line))
        if given.profile:
            assert {given.profile} == {one for service in SERVICES.values() for one in service.get("profiles", ())}
        if given.action != "run":
            assert set(given.services) <= SERVICES.keys()
            continue
        name, *arguments = given.services
        program, *command = [given.entrypoint, *arguments] if given.entrypoint else called(name, *arguments)
        assert program == "/opt/edge-app/bin/edge-app"
        done.add(_parser().parse_args(command).kind)
    assert done == {"user", "backup", "restore", "key"}


def compose() -> argparse.ArgumentParser:
    """Return what parses the options of `docker compose` that the page uses."""
    whole = argparse.ArgumentParser()
    whole.add_argument("--profile")
    actions = whole.add_subparsers(dest="action", required=True)
    up, stop, run = (actions.add_parser(name) for name in ("up", "stop", "run"))
    for action, options in ((up, ("-d", "--build")), (run, ("--rm", "--no-deps"))):
        for option in options:
            action.add_argument(option, action="store_true")
    for option in ("-v", "--entrypoint"):
        run.add_argument(option)
    run.add_argument("services", nargs=argparse.REMAINDER)
    for action in (up, stop):
        action.add_argument("services", nargs="*")
    return whole


def test_all_services_come_back_after_a_reboot() -> None:
    """What a reboot ends ends well, so that `on-failure` would leave it there."""
    detector = yaml.safe_load((ROOT / "deploy/container/compose.yml").read_text("utf-8"))["services"]
    for service in (*SERVICES.values(), *detector.values()):
        assert service["restart"] == "always"


def test_a_backup_can_be_made_of_the_database_of_the_same_file() -> None:
    """PostgreSQL's programs read no server that is newer than they are."""
    (version,) = re.findall(r"postgresql-client-(\d+)", (FOLDER / "Containerfile").read_text("utf-8"))
    assert SERVICES["database"]["image"] == f"postgres:{version}"


def test_the_office_alone_has_the_key_that_its_configuration_names(tmp_path: Path) -> None:
    assert [name for name, service in SERVICES.items() if "office_key" in service.get("secrets", ())] == ["office"]
    assert all("office" not in volume for volume in SERVICES["office"]["volumes"])
    config = load(with_office(FOLDER / "city.toml", tmp_path, "xWuAe37DG6hGmiEe9phn8QfKGZKan6c406O1JLfSKPw="), {})
    assert str(config.signing.key_file) == "/run/secrets/office_key"


def with_office(file: Path, folder: Path, public_key: str) -> Path:
    """Return a copy of the configuration that has the table of the office."""
    (folder / "database.password").write_text("secret")
    text, found = re.subn(r"(?m)^#(?=\[signing\]|key_file|public_key)", "", file.read_text("utf-8"))
    assert found == 3
    (folder / "city.toml").write_text(text.replace('"..."', f'"{public_key}"'))
    return folder / "city.toml"


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
    for name in ("page", "worker", "office"):
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
def test_its_steps_make_page_worker_and_office_in_a_bare_tree(tmp_path: Path) -> None:
    for old in (ROOT / "dist").glob("edge_app-*.whl"):
        old.unlink()
    wheel = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ".")
    subprocess.run(wheel, cwd=ROOT, check=True)
    tree, data, config = ROOT / "build/container", tmp_path / "data", tmp_path / "city"
    container_tree.build(FOLDER / "Containerfile", tree)
    for folder in (data, config):
        folder.mkdir()
    office_key = tmp_path / "office.key"
    program = (sys.executable, "-m", "edge_app", "fleet", "key", str(office_key))
    told = subprocess.run(program, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    public = re.search(r'public_key = "(.+?)"', told)
    assert public
    text = with_office(FOLDER / "city.toml", config, public[1]).read_text("utf-8")
    text = re.sub(r"(?m)^(tls .*|\w+_file = (?!.*(password|secrets)).*)\n", "", text)
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
        teller = session(broker.port)
        run_until(teller, Connected)
        topic = f"{TOPICS}/{meta.site}/{meta.device}/meta"
        teller.publish(Message(topic, encode(meta).encode(), qos=1, retained=True))
        run_until(teller, Acked)
        teller.close()
        printed = city_container.run(
            FOLDER / "Containerfile",
            tree,
            data,
            config,
            office_key,
            worker=SERVICES["worker"]["command"],
            office=called("office"),
        )
    lines = printed.splitlines()
    assert "healthy" in lines, printed
    assert "written" not in lines, printed
    assert TOLD["USER"] in lines, printed
    assert any(line.endswith("] connected") and line != "[] connected" for line in lines), printed
    assert not [line for line in lines if line.startswith("FAIL")], printed
    assert {"page ended 0", "worker ended 0", "office ended 0"} <= set(lines), printed
    assert "This process holds the office's key: it carries out orders and leads roll-outs." in lines, printed
    assert any(line.startswith(f"wrote {TOLD['VOLUME']}/whole.backup") for line in lines), printed
    # There once it was made, and again after the backup from before it was taken away has been restored.
    assert len([line for line in lines if re.match("anna +administrator ", line)]) == 2, printed
