"""Where `edge-app setup` and `edge-app city setup` write: the configuration, and secrets that only its unit reads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from edge_app.commands._options import credentials_folder
from edge_app.errors import ConfigError, reason_of
from edge_app.system.files import remedy_of, write_atomic

_SECRET: Final = 0o600


def refuse_place(path: Path, *, force: bool, what: str) -> None:
    """Raise ConfigError where a configuration cannot be written: before the questions, not after them.

    force: one that exists is replaced. what: is to be installed before.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file in it")
    if path.exists() and not force:
        raise ConfigError(f"{path} exists already: edit it, or replace it with --force")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}: install {what} first, or choose another --config")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{path} cannot be written by this user: put sudo before the command, or choose --config")


def secret_places(path: Path, secrets: Mapping[str, str]) -> dict[str, Path]:
    """Return where each secret goes: to the credentials of the unit, or beside the configuration without a unit."""
    folder = credentials_folder(path)
    beside = {name: path.absolute().with_name(f"{path.stem}.{name}") for name in secrets}
    return {name: folder / name for name in secrets} if folder.is_dir() else beside


def write_secrets(path: Path, secrets: Mapping[str, str]) -> None:
    """Write secrets to their places, for their owner alone. path: of the configuration. Raises OSError."""
    for name, file in secret_places(path, secrets).items():
        text = secrets[name]
        write_atomic(file, text if text.endswith("\n") else f"{text}\n", mode=_SECRET)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an error of writing within the context into one sentence. Raises ConfigError."""
    try:
        yield
    except OSError as error:
        remedy = remedy_of(error, "put sudo before the command, or choose --config")
        raise ConfigError(f"{path} cannot be written ({reason_of(error)}): {remedy}") from error
