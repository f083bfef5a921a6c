"""Check for root whether what the service has left is an order of the office to change the release of this device.

Run by deploy/install.sh on a copy that the service cannot change any more. Nothing that the service says is believed:
the keys and the name of the device come from the device's own file, all else from what a key has signed.

Prints one line: "release ID SHA256 BYTES older|newer", "rollback ID", or "refused ID WHY" for an order of the office
that is not carried out. Exit 1, with a sentence, where it is no order of the office.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge_app.config.files import read_tables
from edge_app.config.office_layer import access_in
from edge_app.errors import ConfigError
from edge_app.mqtt.commands import Command, Ignored, Trust, read_command, release_args
from edge_app.mqtt.events import Message
from edge_app.system.clock import rfc3339, utc_of
from edge_app.system.files import read_json, write_atomic
from edge_app.system.signatures import verify
from edge_app.system.topics import DESIRED

_COMMANDS: Final = ("release", "rollback")
_LASTS_S: Final = 86_400.0
"""Time after its signing in which an order may be carried out: a slow network may fetch for hours."""
_MOST_TRIES: Final = 3
"""An installation that takes the device down each time must not do so for ever."""


@dataclass(frozen=True, slots=True)
class _Note:
    """Newest order that was carried out, or begun. at: when it was signed, UTC s. tries: how often it was begun."""

    id: str = ""
    at: float = 0.0
    tries: int = 0


def main() -> int:
    """Return 0 for an order of the office, 1 for anything else."""
    parser = argparse.ArgumentParser(prog="order_check", description=__doc__)
    parser.add_argument("order", type=Path, help="signed message")
    parser.add_argument("--config", type=Path, required=True, help="file of the device, with the office's keys")
    parser.add_argument("--noted", type=Path, required=True, help="what was ordered last; it is written")
    parser.add_argument("--box", type=Path, required=True, help="folder for SHA256SUMS and SHA256SUMS.sig")
    arguments = parser.parse_args()
    try:
        command = authentic(arguments.order.read_bytes(), arguments.config)
        if why := _refusal(command, arguments.noted, time.time()):
            print(f"refused {command.id} {why}")
        else:
            print(_accepted(command, arguments.box))
    except (ConfigError, OSError) as error:
        print(f"order_check: {error}", file=sys.stderr)
        return 1
    return 0


def authentic(message: bytes, config: Path) -> Command:
    """Return the order that a message is. config: the device's own file. Raises ConfigError: when it is none."""
    access = access_in(read_tables(config), config.parent)
    if access is None:
        raise ConfigError(f"{config} names no key of an office, so nobody may order a release")
    prefix, trust = access.topic.removesuffix(f"/{DESIRED}"), Trust(access.keys, verify)
    why = "it is no signed order"
    for name in _COMMANDS:
        read = read_command(prefix, Message(f"{prefix}/commands/{name}", message, 1), trust)
        if isinstance(read, Command):
            return read
        why = read.reason if isinstance(read, Ignored) else read.error
    raise ConfigError(f"what the service has left is no order of the office for this device: {why}")


def _refusal(command: Command, noted: Path, now: float) -> str:
    """Return why an order is not carried out, in one sentence, "" where it is; notes that it is tried then.

    Whoever has kept an old order cannot use it: each must be newer than the last one. Raises OSError.
    """
    last = _read_note(noted)
    tries = 1
    if (last.id, last.at) == (command.id, command.at):
        tries = last.tries + 1
        if tries > _MOST_TRIES:
            return f"the installation was interrupted {_MOST_TRIES} times"
    elif command.at <= last.at:
        return f"an order of {rfc3339(round(last.at))} came before, and this one is not newer"
    if now - command.at > _LASTS_S:
        return f"it was signed at {rfc3339(round(command.at))}, more than a day ago"
    write_atomic(noted, json.dumps(asdict(_Note(command.id, command.at, tries))), mode=0o644)
    return ""


def _read_note(noted: Path) -> _Note:
    """Return what was ordered last. Raises ConfigError: where that is not known, for then old orders would be taken."""
    try:
        last = read_json(noted)
        return _Note(str(last["id"]), utc_of(last["at"]), int(last["tries"]))
    except FileNotFoundError:
        return _Note()
    except (ValueError, KeyError, TypeError, OverflowError):
        raise ConfigError(f"{noted} is damaged: remove it by hand if no old order can be at large") from None


def _accepted(command: Command, box: Path) -> str:
    """Return the line that tells an order, and write down which build it is of. Raises OSError."""
    if command.name == "rollback":
        return f"rollback {command.id}"
    args = release_args(command.args)
    (box / "SHA256SUMS").write_text(args.sums, "ascii")
    (box / "SHA256SUMS.sig").write_bytes(args.signature)
    age = "older" if args.older else "newer"
    return f"release {command.id} {args.archive.sha256} {args.archive.bytes} {age}"


if __name__ == "__main__":
    sys.exit(main())
