"""Read the files of a configuration: the one that a person writes, and those of its later layers.

What the page has saved lies beside it, what the office has sent in the state folder.
"""

from __future__ import annotations

import hashlib
import pwd
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_app.config.layers import LAYERS, Layer, refused_keys
from edge_app.config.office_document import Document, as_toml
from edge_app.config.office_layer import OfficeAccess, access_in, office_layer
from edge_app.errors import ConfigError
from edge_app.system.clock import read_utc
from edge_app.system.office_state import NAME as OFFICE_FILE
from edge_app.system.office_state import read_state, taken_back

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
    """Return the file of a layer: /etc/edge-app/edge-app.page.toml stands beside /etc/edge-app/edge-app.toml.

    That of the office is only a name, by which its problems are told.
    """
    return path if name == LAYERS[0] else path.with_name(f"{path.stem}.{name}.toml")


def read_files(path: Path) -> list[LayerFile]:
    """Return the files of all layers that exist. path: that of the first layer, which must exist.

    Raises ConfigError: when one cannot be read. The office's is left out where it cannot be used: `office_problem` says
    why.
    """
    files = files_without_office(path)
    office, _ = _office(files[0])
    return files if office is None else [*files, office]


def files_without_office(path: Path) -> list[LayerFile]:
    """Return the files that lie at the device's own place; otherwise like `read_files`."""
    files = [_read(path, LAYERS[0])]
    try:
        files.append(_read(layer_path(path, "page"), "page"))
    except ConfigError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise
    return files


def office_problem(path: Path) -> str:
    """Return one sentence on why the office's layer is not used although there should be one, "" when all is well."""
    try:
        return _office(_read(path, LAYERS[0]))[1]
    except ConfigError:
        return ""


def office_taken_back(path: Path) -> str:
    """Return one sentence on the newest message of the office where it was taken back, "" otherwise."""
    try:
        access = _access(_read(path, LAYERS[0]))
        state = None if access is None else read_state(access.folder)
    except (OSError, ValueError):  # also a ConfigError: `office_problem` and others tell them
        return ""
    return taken_back(state) if state is not None and state.outcome == "rolled_back" else ""


def office_file(document: Document, folder: Path) -> LayerFile:
    """Return the layer of a message of the office as a file has it. folder: the state folder."""
    return LayerFile(
        "office", folder / OFFICE_FILE, as_toml(document).encode(), document.layer.author, document.layer.at
    )


def _office(first: LayerFile) -> tuple[LayerFile | None, str]:
    access = _access(first)
    if access is None:
        return None, ""
    document, problem = office_layer(access)
    return (None if document is None else office_file(document, access.folder)), problem


def _access(first: LayerFile) -> OfficeAccess | None:
    try:
        return access_in(parse_file(first).tables, first.path.parent)
    except ConfigError:
        return None


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
    unset = tuple(head.get("unset", ()))
    layer = Layer(file.name, data, unset, str(head["revision"]), head["author"], read_utc(head["at"]))
    refused = refused_keys(layer)
    if refused:
        raise ConfigError(
            f"{file.path}: may not set {', '.join(refused)}: that is for {file.path.name.split('.')[0]}.toml"
        )
    return layer


def _is_head(head: dict[str, Any]) -> bool:
    unset, revision = head.get("unset", []), head.get("revision")
    try:
        read_utc(head["at"])
    except (KeyError, ValueError, TypeError):
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
