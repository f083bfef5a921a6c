"""`edge-app config`: print a commented configuration, where the values of one come from, or the messages' schemas."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_app.config.model import Config

HELP = "print a commented configuration with every key and its default, or which layer each value comes from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schemas", action="store_true", help="print the JSON Schemas of the MQTT messages instead")
    parser.add_argument("--asyncapi", action="store_true", help="print the AsyncAPI document instead")
    parser.add_argument("--prefix", default="", metavar="LEVELS", help="AsyncAPI: mqtt.prefix of the devices")
    parser.add_argument(
        "--layers", type=Path, metavar="FILE", help="print which layer of this configuration each value comes from"
    )
    parser.add_argument("--json", action="store_true", help="--layers: for a program, with all that is no secret")
    parser.add_argument(
        "--try-page", action="store_true", help="--layers: check what the page would save, from stdin; save nothing"
    )


def main(arguments: argparse.Namespace, _stop: threading.Event) -> int:
    """Print what was asked for. Raises ConfigError: for layers that cannot be read."""
    if arguments.layers is not None:
        return _layers(arguments)
    if arguments.schemas or arguments.asyncapi:
        import json

        from edge_app import __version__
        from edge_app.commands.watch import checked_prefix
        from edge_app.mqtt.schemas import asyncapi, schemas

        above = checked_prefix(arguments.prefix) if arguments.prefix else ""
        print(json.dumps(asyncapi(__version__, above) if arguments.asyncapi else schemas(), indent=1))
    else:
        from edge_app.config.example import example

        print(example(), end="")
    return 0


def _layers(arguments: argparse.Namespace) -> int:
    from edge_app.config.files import office_problem, parse_files, read_files
    from edge_app.config.layer_report import table
    from edge_app.config.proposal import new_problems, shown
    from edge_app.errors import ConfigError

    path: Path = arguments.layers
    if arguments.try_page:
        problems = new_problems(path, sys.stdin.buffer.read(), judge=_refuse_without_plane)
        if problems:
            raise ConfigError(*problems)
    elif arguments.json:
        import json

        print(json.dumps(shown(path), default=str))  # TOML has dates
    else:
        print(table(parse_files(read_files(path))))
        if problem := office_problem(path):
            print(problem, file=sys.stderr)
    return 0


def _refuse_without_plane(config: Config) -> None:
    """Raise ConfigError for a geometry from which no plane of the road follows, or that a line lies beyond."""
    if config.geometry.given:  # else the keeper need not load what calculates with it
        from edge_app.assembly.measures import build_geometry

        build_geometry(config)
