"""`edge-app fleet restart`, `diagnose`, `fetch`, `release` and so on: signed commands, and what devices answer."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.commands._fleet_files import fetch_args, read_bundle
from edge_app.commands._fleet_talks import audit, lead
from edge_app.commands._office_serving import signing_key
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.city.config import CityConfig
    from edge_app.city.office import KnownDevice, Office


def run_command(arguments: argparse.Namespace, config: CityConfig, office: Office, found: Sequence[KnownDevice]) -> int:
    """Have devices carry out a command. Raises ConfigError, BrokerError, StoreError."""
    from edge_app.city.conversation import Commanding, Fetching
    from edge_app.city.signer import Signer

    signer, name = Signer(signing_key(config), office.root, time.time), arguments.kind
    bundle = read_bundle(arguments.bundle) if name == "fetch" else b""
    args = fetch_args(bundle, arguments.url) if name == "fetch" else _args(arguments)
    talks, entries = list[Any](), list[tuple[str, str, Mapping[str, Any]]]()
    for one in found:
        topic = signer.topic(one.name)
        identifier, payload = signer.command(one.name, name, args, "office")
        by_broker = name == "fetch" and arguments.by_broker
        talks.append(
            Fetching(topic, identifier, payload, bundle) if by_broker else Commanding(topic, name, identifier, payload)
        )
        entries.append((f"device.{name}", one.name, {"id": [None, identifier], "args": [None, args]}))
    audit(arguments, config, entries)
    return lead(office, talks, arguments.wait, getattr(arguments, "out", Path()))


def run_release(arguments: argparse.Namespace, config: CityConfig, office: Office, found: Sequence[KnownDevice]) -> int:
    """Have devices install a release, or go back to the one before. Raises ConfigError, BrokerError, StoreError."""
    from edge_app.city.releasing import archive_of, first_cameras, other_processors, release_args, send_release

    args, following = None, first_cameras(found)
    for name, leader in following.items():
        print(f"{name}: is left out, {f'it gets what {leader} gets' if leader else 'it takes no releases itself'}.")
    found = [one for one in found if one.name not in following]
    if not found:
        raise ConfigError(
            "nothing was sent: a device takes releases where the installer has put the program and release.pub lies, "
            "and of several cameras on one machine the first one does"
        )
    if arguments.kind == "release":
        args = release_args(arguments.archive, arguments.url, older=arguments.older)
        archive = archive_of(args)
        for name, processor in other_processors(found, archive.processor).items():
            raise ConfigError(f"{name}: is {processor}, and {archive.name} is for another; nothing was sent")
    key, talks, entries = signing_key(config), list[Any](), list[tuple[str, str, Mapping[str, Any]]]()
    for one in found:
        sent = send_release(f"{office.root}/{one.name}", args, key, patient=not arguments.no_wait)
        talks.append(sent.talk)
        change = {"id": [None, sent.identifier], "program": [one.status.get("version"), "before"]}
        if args is not None:
            change["program"] = [one.status.get("version"), arguments.archive.name]
            change["sha256"] = [None, args["sha256"]]
        entries.append((f"device.{arguments.kind}", one.name, change))
    audit(arguments, config, entries)
    return lead(office, talks, arguments.wait, Path())


def _args(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.kind == "snapshot":
        if not 160 <= arguments.width <= 1280:
            raise ConfigError("--width: must be 160 to 1280 px")
        return {"width": arguments.width, "lines": arguments.lines}
    if arguments.kind == "harvest":
        if not 1 <= arguments.hours <= 168:
            raise ConfigError("--hours: must be 1 to 168")
        return {"enabled": True, "hours": arguments.hours} if arguments.switch == "on" else {"enabled": False}
    return {}
