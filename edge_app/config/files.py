"""Read the files of a configuration: the one that a person writes, and beside it those of its later layers."""

from __future__ import annotations

import hashlib
import pwd
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from edge_app.config.layers import LAYERS, Layer, refused_keys
from edge_app.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]  # not installed from Python 3.11 on

_HEAD: Final = "layer"
"""Table of a later layer that says who wrote it."""


@dataclass(frozen=True, slots=True)
class LayerFile:
    """File of one layer as it was read. at: when it was last written, UTC s. author: the owner of the file."""

    name: str
    path: Path
    content: bytes
    author: str = ""
    at: float = 0.0


def layer_path(path: Path, name: str) -> Path:
    """Return the file of a layer: /etc/edge-app/edge-app.page.toml stands beside /etc/edge-app/edge-app.toml."""
    return path if name == LAYERS[0] else path.with_name(f"{path.stem}.{name}.toml")


def read_files(path: Path) -> list[LayerFile]:
    """Return the files of all layers that exist. path: that of the first layer, which must exist.

    Raises ConfigError: when one cannot be read.
    """
    files = [_read(path, LAYERS[0])]
    for name in LAYERS[1:]:
        try:
            files.append(_read(layer_path(path, name), name))
        except ConfigError as error:
            if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                raise
    return files


def read_tables(path: Path) -> dict[str, Any]:
    """Return the tables of a file without its later layers. Raises ConfigError: when it cannot be used."""
    return dict(parse_file(_read(path, LAYERS[0])).tables)


def parse_files(files: Sequence[LayerFile]) -> list[Layer]:
    """Return the layers in files. Raises ConfigError: for the first that cannot be used."""
    return [parse_file(file) for file in files]


def parse_file(file: LayerFile) -> Layer:
    """Return the layer in a file. Raises ConfigError: when it is no TOML, or no layer of its name."""
    try:
        data: dict[str, Any] = tomllib.loads(file.content.decode("utf-8-sig"))
    except (ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{file.path}: {why_unreadable(error)}") from error
    if file.name == LAYERS[0]:
        return Layer(file.name, data, (), hashlib.sha256(file.content).hexdigest()[:8], file.author, file.at)
    return _later_layer(file, data)


def _later_layer(file: LayerFile, data: dict[str, Any]) -> Layer:
    head = data.pop(_HEAD, None)
    if not isinstance(head, dict) or not _is_head(head):
        raise ConfigError(
            f"{file.path}: is no layer of a configuration: [{_HEAD}] with revision, author and at is missing"
        )
    at = datetime.fromisoformat(head["at"].replace("Z", "+00:00")).timestamp()
    layer = Layer(file.name, data, tuple(head.get("unset", ())), str(head["revision"]), head["author"], at)
    refused = refused_keys(layer)
    if refused:
        raise ConfigError(
            f"{file.path}: may not set {', '.join(refused)}: that is for {file.path.name.split('.')[0]}.toml"
        )
    return layer


def _is_head(head: dict[str, Any]) -> bool:
    unset, revision = head.get("unset", []), head.get("revision")
    try:
        datetime.fromisoformat(head["at"].replace("Z", "+00:00"))
    except (KeyError, ValueError, AttributeError, TypeError):
        return False
    keys = isinstance(unset, list) and all(isinstance(key, str) for key in unset)
    return keys and isinstance(head.get("author"), str) and isinstance(revision, int) and not isinstance(revision, bool)


def _read(path: Path, name: str) -> LayerFile:
    try:
        content, found = path.read_bytes(), path.stat()
    except (OSError, ValueError, MemoryError) as error:
        raise ConfigError(f"{path}: {why_unreadable(error)}") from error
    try:
        author = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        author = str(found.st_uid)
    return LayerFile(name, path, content, author, found.st_mtime)


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


def parse_value(text: str) -> Any:
    """Return a value as TOML has it; a word that is none, such as debug, is text.

    Raises ConfigError: for what is more than one value.
    """
    try:
        tables = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    if [*tables] != ["value"]:
        raise ConfigError(f"{text.splitlines()[0]} ...: must be one value on one line")
    return tables["value"]
