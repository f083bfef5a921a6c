"""Find the configurations of this device's cameras, and read from them what tells one camera from another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_app.commands._options import INSTALLED
from edge_app.errors import ConfigError


def configs_in(folder: Path) -> list[Path]:
    """Return the configurations of the cameras of a device, the first camera first."""
    # the later layers of a configuration have a dot in the stem
    found = [file for file in folder.glob("*.toml") if "." not in file.stem]
    return sorted(found, key=lambda file: (file.stem != INSTALLED.stem, file.stem))


def tables_of_file(config: Path) -> dict[str, Mapping[str, Any]]:
    """Return the tables device, source and mqtt as they stand in the file, without its secrets and later layers.

    Raises ConfigError: when it cannot be read, or one of the three is no table.
    """
    from edge_app.config.files import read_tables

    tables = read_tables(config)
    found = {name: tables.get(name, {}) for name in ("device", "source", "mqtt")}
    for name, table in found.items():
        if not isinstance(table, Mapping):
            raise ConfigError(f"{config}: {name}: must be a table")
    return found


def identity(config: Path) -> str:
    """Return site/device of a configuration, "" without one. Raises ConfigError: when it cannot be read."""
    device = tables_of_file(config)["device"]
    return f"{device.get('site', '')}/{device.get('device', '')}" if device else ""


def refuse_twin(config: Path, own: str) -> None:
    """Raise ConfigError where another camera in the folder has this identity: counts could not be told apart.

    own: site/device. A configuration that cannot be used has no identity that could be the same.
    """
    for other in configs_in(config.parent):
        if other != config and own and _identity_or_none(other) == own:
            raise ConfigError(f"{own} is the site and device of {other} already: give {config} a device of its own")


def _identity_or_none(config: Path) -> str:
    try:
        return identity(config)
    except ConfigError:
        return ""
