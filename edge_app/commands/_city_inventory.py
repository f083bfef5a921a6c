"""`edge-app city inventory`: write the sites of a city into a file, or make and replace those of a file."""

from __future__ import annotations

import argparse
import getpass
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_app.errors import ConfigError, reason_of
from edge_app.system.files import write_atomic

if TYPE_CHECKING:
    from edge_app.city.database.engine import Database

_KINDS: Final = {".csv": "csv", ".geojson": "geojson", ".json": "geojson"}


def add_inventory(kinds: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command. kinds: subparsers of `city`. add_config: adds the option --config."""
    inventory = kinds.add_parser("inventory", help="write all sites into a CSV or GeoJSON file, or take them from one")
    inventory.add_argument(
        "action",
        choices=("export", "import"),
        help="export: write sites and what is attached to them; import: make or replace the sites that a file names, "
        "others stay as they are",
    )
    inventory.add_argument("file", type=Path, metavar="FILE", help="ends in .csv or .geojson")
    add_config(inventory)


def run_inventory(arguments: argparse.Namespace, database: Database) -> int:
    """Export or import. Raises ConfigError, StoreError."""
    kind = _KINDS.get(arguments.file.suffix.lower())
    if kind is None:
        raise ConfigError(f"{arguments.file}: the name must end in .csv or .geojson")
    if arguments.action == "export":
        return _export(arguments.file, kind, database)
    return _import(arguments.file, kind, database)


def _export(file: Path, kind: str, database: Database) -> int:
    from edge_app.city.database.inventory import read_inventory
    from edge_app.city.inventory_files import inventory_csv, inventory_geojson

    with database.connect() as connection:
        sites = read_inventory(connection)
    try:
        write_atomic(file, inventory_csv(sites) if kind == "csv" else inventory_geojson(sites))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({reason_of(error)})") from None
    print(f"{_many(len(sites), 'site')} written to {file}")
    return 0


def _import(file: Path, kind: str, database: Database) -> int:
    from edge_app.city.database.inventory import put_sites, unheard_lines
    from edge_app.city.inventory import InventoryError
    from edge_app.city.inventory_files import read_inventory_csv, read_inventory_geojson

    try:
        text = file.read_bytes().decode("utf-8")
        sites = read_inventory_csv(text) if kind == "csv" else read_inventory_geojson(text)
        with database.begin() as connection:
            changes = put_sites(connection, sites, person(), time.time())
            unheard = unheard_lines(connection, sites)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({reason_of(error)})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not written in UTF-8: save it so") from None
    except InventoryError as error:
        raise ConfigError(*(f"{file}: {problem}" for problem in error.problems)) from None
    print(f"{_many(len(sites), 'site')} read from {file}, {len(changes)} of them new or changed")
    for line in unheard:
        print(f"{line} is attached and has sent nothing yet")
    return 0


def person() -> str:
    """Return who works at this terminal, for the audit."""
    try:
        return f"command line ({getpass.getuser()})"
    except (OSError, KeyError):
        return "command line"


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
