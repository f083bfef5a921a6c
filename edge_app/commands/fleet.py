"""`edge-app fleet`: what the office does with its devices: configure them, and have them answer signed commands."""

from __future__ import annotations

import argparse
import re
import sys
import threading
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from edge_app.commands import _fleet_options
from edge_app.commands._fleet_commands import run_command, run_release
from edge_app.commands._fleet_config import change_of, configure, show_layers
from edge_app.commands._fleet_files import make_or_show_key, pack_bundle
from edge_app.commands._fleet_judge import judge
from edge_app.commands._office_serving import genuine_of, known_genuine, run_serve, session_of, signing_key
from edge_app.commands._options import reach_secrets, without_city
from edge_app.commands._rollouts import run_rollout
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_app.city.config import CityConfig
    from edge_app.city.office import KnownDevice, Office

HELP = "configure the city's devices from the office, and have them answer signed commands"
add_arguments = _fleet_options.add_arguments
_DEVICE: Final = re.compile("[a-z0-9-]+/[a-z0-9-]+")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Return 0 when every device did what it was asked, else 1.

    Raises ConfigError: also when the extra is not installed. Raises BrokerError, StoreError.
    """
    try:
        if arguments.kind == "key":
            return make_or_show_key(arguments.file)
        if arguments.kind == "judge":
            return judge(arguments.files, arguments.time_zone, arguments.candidate, arguments.before)
        if arguments.kind == "bundle":
            return pack_bundle(arguments.model, arguments.out)
        reach_secrets(arguments.config)
        return _led(arguments, stop)
    except ImportError as error:
        raise without_city(error) from error


def _led(arguments: argparse.Namespace, stop: threading.Event) -> int:
    from edge_app.city.config import load, shared_login

    process = "office" if arguments.kind == "serve" else "fleet"
    config = load(arguments.config, process=process)
    if shared := shared_login(config, process):
        print(f"edge-app: {shared}", file=sys.stderr)
    if arguments.kind == "serve":
        return run_serve(config, arguments.config.parent, stop)
    office = _office(arguments, config, stop)
    if arguments.kind == "rollout":
        return run_rollout(arguments, config, office.devices, stop)
    changes = change_of(arguments) if arguments.kind == "config" else None
    is_genuine = known_genuine(config) if changes is None else genuine_of(config, signing_key(config))
    found = [one for one in office.devices(is_genuine) if fnmatchcase(one.name, arguments.devices)]
    if arguments.kind == "list":
        _show_list(found)
        return 0
    if not found:
        raise ConfigError(f"{arguments.devices}: the broker knows no such device; `edge-app fleet list` shows them")
    if len(found) > arguments.most:
        raise ConfigError(
            f"{arguments.devices}: {len(found)} devices are meant; if that is so, --most {len(found)} says it"
        )
    if arguments.kind == "config":
        if changes is None:
            show_layers(found)
            return 0
        return configure(arguments, config, office, found, changes)
    if arguments.kind in ("release", "rollback"):
        return run_release(arguments, config, office, found)
    return run_command(arguments, config, office, found)


def _office(arguments: argparse.Namespace, config: CityConfig, stop: threading.Event) -> Office:
    from edge_app.city.office import Office
    from edge_app.mqtt.identity import root_below
    from edge_app.system import logging as logs

    logs.setup("error")

    def names() -> Sequence[str]:
        return _names(config, arguments.config.parent, arguments.devices)

    return Office(
        lambda: session_of(config, "fleet", 5.0),
        root_below(config.mqtt.prefix),
        stop.is_set,
        names if config.broker.by_names else None,
    )


def _names(config: CityConfig, folder: Path, pattern: str) -> Sequence[str]:
    """Return the devices that are meant, as the city's database has them; a whole name is what it says."""
    from edge_app.city.database.fleet import device_names
    from edge_app.city.service import opened

    if set(pattern).isdisjoint("*?["):
        return [pattern] if _DEVICE.fullmatch(pattern) else []
    with opened(config, folder) as database, database.connect() as connection:
        return [name for name in device_names(connection) if fnmatchcase(name, pattern)]


def _show_list(found: Sequence[KnownDevice]) -> None:
    from edge_app.console import terminal

    rows = terminal.table("device", "state", "program", "model", "config", "office")
    for column in (rows.columns[0], rows.columns[2], rows.columns[-1]):  # what identifies something is not cut
        column.no_wrap, column.overflow, column.min_width = False, "fold", 9
    for one in found:
        told = one.status
        office = f"{one.reported.revision} {one.reported.state}".replace("_", " ") if one.report else "-"
        program = f"{told.get('version') or '-'} {one.reported.release.state if one.reported.release else ''}".strip()
        cells = (told.get("state"), program, one.meta.get("model"), one.meta.get("config"))
        rows.add_row(one.name, *(str(cell or "-") for cell in cells), office)
    terminal.stdout().print(rows)
    for one in found:
        if one.lost:
            print(f"{one.name}: {one.lost}")
