"""`edge-app city user` and `city token`: who may use the page and the API of a city."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from edge_app.commands._city_inventory import person
from edge_app.commands._questions import ask_new_password
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.city.database.engine import Database

_DAY_S: Final = 86_400


def add_people(kinds: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add both commands. kinds: subparsers of `city`. add_config: adds the option --config."""
    user = kinds.add_parser("user", help="who may log in at the page: with the first user everybody has to")
    user.add_argument("action", choices=("add", "list", "remove", "password", "role"))
    user.add_argument("name", nargs="?", default="", metavar="NAME", help="of the user")
    roles = ("viewer", "engineer", "administrator")
    user.add_argument(
        "--role", choices=roles, help="viewer (default) reads, engineer edits the inventory, administrator all"
    )
    add_config(user)
    token = kinds.add_parser("token", help="what programs send to use the API")
    token.add_argument("action", choices=("add", "list", "remove"))
    token.add_argument("name", nargs="?", default="", metavar="NAME", help="of the token")
    token.add_argument("--scope", choices=("read", "write", "admin"), default="read", help="what it may do (read)")
    token.add_argument("--days", type=int, metavar="N", help="it ends after so many days (default: never)")
    add_config(token)


def run_user(arguments: argparse.Namespace, database: Database) -> int:
    """Add, list, remove or change users. Raises ConfigError, StoreError."""
    from edge_app.city.database import accounts

    if arguments.action == "list":
        with database.connect() as connection:
            for row in accounts.read_accounts(connection):
                print(f"{row.name:20} {row.role:14} since {_day(row.made)}")
        return 0
    who, name = person(), _named(arguments)
    if arguments.action == "role" and arguments.role is None:
        raise ConfigError("--role is missing: viewer, engineer or administrator")
    password = ask_new_password("Password of the user:") if arguments.action in ("add", "password") else None
    try:
        with database.begin() as connection:
            if arguments.action == "add":
                accounts.add_account(connection, name, arguments.role or "viewer", password or "", who, time.time())
            elif arguments.action == "remove":
                accounts.remove_account(connection, name, who, time.time())
            else:
                role = arguments.role if arguments.action == "role" else None
                accounts.change_account(connection, name, who, time.time(), role=role, password=password)
            left = accounts.has_accounts(connection)
    except accounts.AccountError as error:
        raise ConfigError(str(error)) from None
    print(f"user {name}: done" if left else "no user is left: the page is open to everybody on its machine")
    return 0


def run_token(arguments: argparse.Namespace, database: Database) -> int:
    """Add, list or remove tokens. Raises ConfigError, StoreError."""
    from edge_app.city.database import accounts

    now = time.time()
    if arguments.action == "list":
        with database.connect() as connection:
            for row in accounts.read_tokens(connection):
                print(f"{row.name:20} {row.scope:6} {f'until {_day(row.ends)}' if row.ends else 'without an end'}")
        return 0
    name = _named(arguments)
    if arguments.days is not None and not 1 <= arguments.days <= 36_500:
        raise ConfigError("--days: must be 1 to 36500")
    ends = int(now) + arguments.days * _DAY_S if arguments.days else None
    try:
        with database.begin() as connection:
            if arguments.action == "remove":
                accounts.remove_token(connection, name, person(), now)
            else:
                secret = accounts.add_token(connection, name, arguments.scope, ends, person(), now)
    except accounts.AccountError as error:
        raise ConfigError(str(error)) from None
    if arguments.action == "remove":
        print(f"token {name}: removed")
    else:
        print("The token follows; it cannot be shown again. Keep it where its program finds it.", file=sys.stderr)
        print(secret)
    return 0


def _named(arguments: argparse.Namespace) -> str:
    if not arguments.name:
        raise ConfigError(f"NAME is missing: edge-app city {arguments.kind} {arguments.action} NAME")
    return str(arguments.name)


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, timezone.utc).date().isoformat()
