"""Read a TOML file and its secrets into a Config, or report every problem at once in words."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_app.config.model import NO_LINES, TABLES, Config
from edge_app.config.secrets import expand_url, fill_key, fill_secrets
from edge_app.config.source import name_source
from edge_app.config.wording import describe_error, own_errors
from edge_app.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]  # not installed from Python 3.11 on


def load(path: Path | str, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration in a TOML file; relative paths in it start at the file's folder.

    Secrets come from `environment` (EDGE_APP_MQTT_PASSWORD, EDGE_APP_SOURCE_PASSWORD, EDGE_APP_PREVIEW_PASSWORD), from
    the systemd credentials mqtt_password and so on, from a password_file or from the file itself, in this order; the
    certificate's key also from the credential mqtt_key when the file names none.
    Raises ConfigError: with every problem that was found.
    """
    path = Path(path)
    return validated(_read(path), path.parent, environment)


def load_service(path: Path | str, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration of a service, which must name its camera; otherwise like `load`."""
    path = Path(path)
    return validated(_read(path), path.parent, environment, camera=True)


def validated(
    data: Mapping[str, Any], folder: Path, environment: Mapping[str, str] = os.environ, *, camera: bool = False
) -> Config:
    """Return the configuration for the data of a TOML file in `folder`; otherwise like `load`.

    camera: refuse one that does not name its source.
    """
    # A missing table is validated as an empty one, so that its default paths start at the folder too.
    tables: dict[str, Any] = {name: {} for name in TABLES if name != "lines"} | dict(data)
    fill_key(tables, environment)
    problems = list(name_source(tables)) if camera else []
    problems += [f"lines: {NO_LINES}"] if problems and not tables.get("lines") else []
    problems += [*fill_secrets(tables, folder, environment), *expand_url(tables, environment)]
    try:
        config = Config.model_validate(tables, context={"folder": folder})
    except ValidationError as exc:
        problems += [describe_error(error, tables) for error in own_errors(exc.errors(include_url=False))]
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
        return data
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{path}: {why_unreadable(error)}") from error


def why_unreadable(error: Exception) -> str:
    """Return why a configuration file cannot be read, as the end of a sentence."""
    if isinstance(error, FileNotFoundError):
        return "no such file; `edge-app config` prints an example to begin with"
    if isinstance(error, IsADirectoryError):
        return "is a folder, not a file"
    if isinstance(error, PermissionError):
        return "may not be read by this user: put sudo before the command"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
    if isinstance(error, RecursionError):
        return "has brackets within brackets, deeper than any key needs"
    if isinstance(error, MemoryError):
        return "is larger than the free memory"
    if "digits" in str(error):  # Python converts no longer ones
        return "has a number of thousands of digits"
    return f"is not valid TOML: {error}"
