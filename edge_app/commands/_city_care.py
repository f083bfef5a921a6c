"""Look after a city: `edge-app city check`, `backup` and `restore`."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add_care(kinds: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands. kinds: subparsers of `city`. add_config: adds the option --config."""
    check = kinds.add_parser("check", help="print every configuration error, then check database, broker and page")
    add_config(check)
    for name, text in (
        ("backup", "write the whole database into one file, while it is used"),
        ("restore", "bring the database back from such a file; devices are then asked for what came later"),
    ):
        kind = kinds.add_parser(name, help=text)
        kind.add_argument("file", type=Path, metavar="FILE")
        add_config(kind)
        if name == "restore":
            kind.add_argument(
                "--replace", action="store_true", help="also where there are tables already: they are lost"
            )


def check(arguments: argparse.Namespace, _: threading.Event) -> int:
    """Print the findings; return 0, or 1 after at least one failure. Raises ConfigError."""
    from edge_app.city.config import load
    from edge_app.city.findings import findings
    from edge_app.console.terminal import finding_text, stdout
    from edge_app.system import logging as logs

    config = load(arguments.config)
    logs.setup("critical")  # the findings say what the adapters would warn about
    failed = False
    for one in findings(config, arguments.config.parent):
        stdout().print(finding_text(one.level, one.what, one.sentence), soft_wrap=True)
        failed |= one.level == "FAIL"
    return int(failed)


def back_up_or_restore(arguments: argparse.Namespace, _: threading.Event) -> int:
    """Run one of them; return 0. Raises ConfigError, StoreError."""
    from edge_app.city.config import database_url, load
    from edge_app.city.database.backup import back_up, restore

    url = database_url(load(arguments.config).database, arguments.config.parent)
    if arguments.kind == "backup":
        back_up(url, arguments.file)
        print(f"wrote {arguments.file} ({arguments.file.stat().st_size / 1e6:.1f} MB)")
    else:
        restore(url, arguments.file, replace=arguments.replace)
        print("restored; what came after the backup is asked of the devices as soon as their next messages show it")
    return 0
