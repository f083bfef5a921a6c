"""Look after a city: `edge-app city check`, `status`, `backup` and `restore`."""

from __future__ import annotations

import argparse
import shlex
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_app.commands._city_inventory import person
from edge_app.commands._options import CITY

if TYPE_CHECKING:
    from edge_app.city.database.restored import Restored

_CHANGES: Final = 4
_NOT_RUNNING: Final = 3
"""Exit code of `systemctl status` for a service that does not run."""


def add_care(kinds: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands. kinds: subparsers of `city`. add_config: adds the option --config."""
    check = kinds.add_parser("check", help="print every configuration error, then check database, broker and page")
    add_config(check)
    check.add_argument(
        "--tables",
        action="store_true",
        help=f"look at the tables alone; exit code {_CHANGES} where this release changes them",
    )
    add_config(kinds.add_parser("status", help="tell whether page and database of the running service answer"))
    for name, text in (
        ("backup", "write the whole database into one file, while it is used"),
        ("restore", "bring the database back from such a file; devices are then asked for what came later"),
    ):
        kind = kinds.add_parser(name, help=text)
        kind.add_argument("file", type=Path, metavar="FILE")
        add_config(kind)
        if name == "restore":
            kind.add_argument(
                "--replace", action="store_true", help="also where there are tables already: all but the audit is lost"
            )


def check(arguments: argparse.Namespace, _: threading.Event) -> int:
    """Print the findings; return 0, or 1 after at least one failure. Raises ConfigError.

    With --tables: return 4 where this release changes the tables. Raises StoreError: when they cannot be looked at.
    """
    from edge_app.city.config import database_url, load
    from edge_app.city.database.engine import Tables, state_of
    from edge_app.city.findings import findings
    from edge_app.console.terminal import finding_text, stdout
    from edge_app.system import logging as logs

    config = load(arguments.config)
    if arguments.tables:
        sentence, tables = state_of(database_url(config.database, arguments.config.parent))
        print(sentence)
        return _CHANGES if tables is Tables.OLDER else 0
    logs.setup("critical")  # the findings say what the adapters would warn about
    failed = False
    for one in findings(config, arguments.config.parent):
        stdout().print(finding_text(one.level, one.what, one.sentence), soft_wrap=True)
        failed |= one.level == "FAIL"
    return int(failed)


def tell_status(arguments: argparse.Namespace, _: threading.Event) -> int:
    """Print whether the running service answers; return 0, 1 for a fault of it or its database, 3 for none.

    A broker that is away changes no exit code: a new release is not taken back for it. Raises ConfigError.
    """
    from edge_app.city.config import load
    from edge_app.city.running import ask_running
    from edge_app.system.unit import installed_unit

    page = load(arguments.config).page
    found, what = ask_running(page.host, page.port), "page" if page.enabled else "service"
    unit = arguments.config == CITY and bool(installed_unit("edge-app-city"))
    log = "journalctl -u edge-app-city" if unit else "its log says why"
    match found.state:
        case "well":
            print(f"{what} and database answer at {found.address}, release {found.version}")
            if not found.broker:
                print(f"it has no connection to its broker: {log}")
        case "no database":
            print(f"the {what} at {found.address} answers, and its database does not: {log}")
        case "fault":
            print(f"the {what} at {found.address} answers with a fault ({found.why}): {log}")
        case "another":
            other = f"but another program ({found.why}): see page.port"
            print(f"nothing of the city side answers at {found.address}, {other}")
        case "none":
            named = shlex.quote(str(arguments.config))
            remedy = "systemctl status edge-app-city" if unit else f"edge-app city serve --config {named} starts it"
            print(f"nothing of the city side answers at {found.address} ({found.why}): {remedy}")
    return 0 if found.state == "well" else 1 if found.there else _NOT_RUNNING


def back_up_or_restore(arguments: argparse.Namespace, _: threading.Event) -> int:
    """Run one of them; return 0, or 1 where the archive does not have what a restored database says.

    Raises ConfigError, StoreError.
    """
    from edge_app.city.config import database_url, load
    from edge_app.city.database.backup import back_up, restore
    from edge_app.commands._city_archive import judge_restored

    config = load(arguments.config)
    url = database_url(config.database, arguments.config.parent)
    if arguments.kind == "backup":
        back_up(url, arguments.file)
        print(f"wrote {arguments.file} ({arguments.file.stat().st_size / 1e6:.1f} MB)")
        if config.archive.folder:
            print(f"the files of {config.archive.folder} are not in it, only their names and hashes: copy them now")
        return 0
    found = restore(url, arguments.file, replace=arguments.replace, who=person(), at=time.time())
    _tell_access(found)
    print("restored; what came after the backup is asked of the devices as soon as their next messages show it")
    return judge_restored(config, arguments.config.parent)


def _tell_access(found: Restored) -> None:
    """Print who may come in again since a restore, and who no longer may."""
    told = (
        ("tokens that are valid again", found.tokens_back),
        ("tokens that are no longer there", found.tokens_gone),
        ("users that are there again", found.users_back),
        ("users that are no longer there", found.users_gone),
        ("users with the role and the password of the backup", found.other_users),
    )
    for what, names in told:
        if names:
            print(f"{what}: {', '.join(names)}")
    if not found.known:
        print(
            "there was no database before that could be read: the audit is that of the backup, and tokens and users "
            "that were removed since may come in again; look at `edge-app city token list` and `user list`"
        )
