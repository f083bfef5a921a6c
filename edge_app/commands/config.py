"""`edge-app config`: print a commented configuration with every key, or the schemas of the messages."""

from __future__ import annotations

import argparse
import threading

HELP = "print a commented configuration with every key and its default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schemas", action="store_true", help="print the JSON Schemas of the MQTT messages instead")
    parser.add_argument("--asyncapi", action="store_true", help="print the AsyncAPI document instead")
    parser.add_argument("--prefix", default="", metavar="LEVELS", help="AsyncAPI: mqtt.prefix of the devices")


def main(arguments: argparse.Namespace, _stop: threading.Event) -> int:
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
