"""`edge-app camera`: add, list and remove the further cameras of a device, each a service edge-app@NAME of its own."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge_app.commands import check, setup
from edge_app.commands._cameras import configs_in, identity, refuse_twin, tables_of_file
from edge_app.commands._device_questions import QUESTIONS
from edge_app.commands._options import INSTALLED, credentials_folder, unit_of
from edge_app.commands._questions import show
from edge_app.errors import ConfigError, ResourceError
from edge_app.keeper.unit import Unit, UnitState
from edge_app.system.unit import systemctl

HELP = "add, list and remove the cameras of this device; list shows the memory and the processor time of each"

STATES: Final = Path("/var/lib")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_TAKEN: Final = (INSTALLED.stem, "serve")
"""The first camera, and the detector as a service, which keeps its jobs in /var/lib/edge-app-serve."""
_ENROLLED: Final = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+(\.ca)?\.pem")
"""Names that `setup` gives to the certificates of an enrolment: SITE.DEVICE.pem, SITE.DEVICE.ca.pem."""
_SECRETS: Final = ("mqtt_password", "mqtt_key", "source_password", "preview_password")


@dataclass(frozen=True, slots=True)
class _Camera:
    """One row of the list.

    memory_mb: resident; cpu: share of one core; both None where none runs. problem: why its configuration cannot be
    used, "" where it can be read.
    """

    name: str
    device: str
    source: str
    state: str
    memory_mb: float | None
    cpu: float | None
    problem: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="ask for the settings of a further camera, as `setup` does, and start it")
    add.add_argument("name", metavar="NAME", help="name of the camera on this device, such as north")
    for question in QUESTIONS:
        add.add_argument(f"--{question.flag}", help=question.text)
    add.add_argument("--no-check", action="store_true", help="do not try camera and broker first")
    listed = actions.add_parser("list", help="state, memory and processor time of each camera, measured for a second")
    listed.add_argument("--json", action="store_true", help="for another program")
    remove = actions.add_parser("remove", help="stop a further camera for good")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--purge", action="store_true", help="also remove its configuration, secrets and counts")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Return 0, or what the check of an added camera returns.

    Raises ConfigError: for a wrong name or settings. ResourceError: when systemd does not do what is needed.
    """
    if arguments.action == "list":
        return _list(as_json=arguments.json)
    if not _NAME.fullmatch(arguments.name) or arguments.name in _TAKEN:
        raise ConfigError(
            f"a camera cannot be called {arguments.name}: choose up to 31 of a-z, 0-9 and hyphen, other than "
            f"{' and '.join(_TAKEN)}"
        )
    if os.geteuid() != 0:
        raise ConfigError(f"must be run as root: sudo edge-app camera {arguments.action} {arguments.name}")
    config = INSTALLED.with_name(f"{arguments.name}.toml")
    return _add(config, arguments, stop) if arguments.action == "add" else _remove(config, purge=arguments.purge)


def _add(config: Path, arguments: argparse.Namespace, stop: threading.Event) -> int:
    secrets = credentials_folder(config)
    unfinished = not secrets.exists()
    secrets.mkdir(mode=0o700, exist_ok=True)
    for name in _SECRETS:
        (secrets / name).touch(mode=0o600)
    code = 0
    if config.exists():
        show(f"edge-app: {config} exists already and is used")
        refuse_twin(config, identity(config))
        if not arguments.no_check:
            os.environ["CREDENTIALS_DIRECTORY"] = str(secrets)
            code = check.main(argparse.Namespace(config=config, no_sandbox=False), stop)
    else:
        os.environ["CREDENTIALS_DIRECTORY"] = str(secrets)
        told = vars(arguments) | {"config": config, "state": str(_state(config)), "force": False}
        try:
            code = setup.main(argparse.Namespace(**told), stop)
        finally:
            if unfinished and not config.exists():  # nobody would find them to remove
                shutil.rmtree(secrets)
    if code:
        show(
            f"edge-app: {unit_of(config)} is not started, since its check has failed: mend {config}, then "
            f"`sudo edge-app camera add {config.stem}` again (--no-check starts it as it is)"
        )
        return code
    systemctl("enable", "--quiet", unit_of(config))
    systemctl("restart", unit_of(config))
    show(f"edge-app: {unit_of(config)} is started; `sudo edge-app status --config {config}` tells whether it counts")
    return code


def _remove(config: Path, *, purge: bool) -> int:
    state, secrets = _state(config), credentials_folder(config)
    if not (config.exists() or state.exists()):
        raise ConfigError(f"there is no camera {config.stem}: `edge-app camera list` shows those that there are")
    systemctl("disable", "--quiet", "--now", unit_of(config))
    if not purge:
        show(f"edge-app: {config.stem} is stopped; {config}, {secrets} and {state} are kept (--purge removes them)")
        return 0
    certificates = _own_certificates(config)  # named by the configuration, so before that goes
    layers = (config.with_name(f"{config.stem}.{layer}.toml") for layer in ("page", "office"))
    for file in (config, *layers, *certificates):
        file.unlink(missing_ok=True)
    for folder in (secrets, state):
        shutil.rmtree(folder, ignore_errors=True)
    also = f" ({', '.join(file.name for file in certificates)})" if certificates else ""
    show(f"edge-app: {config}, {secrets}, {state} and the certificates of its enrolment{also} are gone")
    return 0


def _own_certificates(config: Path) -> list[Path]:
    """Return the files that `setup` has written of an enrolment and that no other camera's configuration names."""
    own = {file for file in _certificates(config) if _ENROLLED.fullmatch(file.name) and file.parent == config.parent}
    others = [other for other in configs_in(config.parent) if other != config]
    return sorted(own.difference(*map(_certificates, others)))


def _certificates(config: Path) -> set[Path]:
    try:
        mqtt = tables_of_file(config)["mqtt"]
    except ConfigError:
        return set()
    return {Path(mqtt[key]) for key in ("ca_file", "cert_file") if isinstance(mqtt.get(key), str)}


def _list(*, as_json: bool) -> int:
    cameras = _cameras(configs_in(INSTALLED.parent))
    if as_json:
        print(json.dumps([asdict(camera) for camera in cameras], indent=1))
        return 0
    from edge_app.console.terminal import stdout, table

    shown = table("camera", "site/device", "source", "state", "memory", "processor")
    for camera in cameras:
        memory = "" if camera.memory_mb is None else f"{camera.memory_mb:.0f} MB"
        share = "" if camera.cpu is None else f"{camera.cpu * 100:.0f} % of a core"
        device = "invalid" if camera.problem else camera.device
        shown.add_row(camera.name, device, camera.source, camera.state, memory, share)
    stdout().print(shown)
    for camera in cameras:
        if camera.problem:
            show(f"edge-app: {camera.problem}")
    if not cameras:
        print(f"edge-app: no camera is configured in {INSTALLED.parent}: sudo edge-app setup", file=sys.stderr)
    return 0


def _cameras(configs: Sequence[Path]) -> list[_Camera]:
    from edge_app.system.readings import process_use

    units = [_unit(config) for config in configs]
    used = process_use([unit.pid for unit in units if unit.pid])
    rows = []
    for config, unit in zip(configs, units, strict=True):
        use = used.get(unit.pid)
        device, source, problem = _described(config)
        memory, cpu = (None, None) if use is None else (round(use.memory_mb, 1), round(use.cpu, 3))
        rows.append(_Camera(config.stem, device, source, unit.active, memory, cpu, problem))
    return rows


def _unit(config: Path) -> UnitState:
    try:
        return Unit(unit_of(config)).state()
    except ResourceError:  # no systemd
        return UnitState("unknown", 0)


def _described(config: Path) -> tuple[str, str, str]:
    """Return site/device, the kind of source, and why the configuration cannot be used."""
    try:
        return identity(config), str(tables_of_file(config)["source"].get("kind", "")), ""
    except ConfigError as error:
        return "", "", str(error)


def _state(config: Path) -> Path:
    return STATES / unit_of(config).replace("@", "-")
