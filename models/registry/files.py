"""Read and write the registry's files; every fault is a RegistryError with the file's path.

The registry lies in a git checkout: what a command that failed midway has changed, `git restore` takes back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.common.errors import RegistryError
from models.common.files import json_bytes, replace_file


def write(path: Path, content: bytes) -> None:
    """Write a file and the folders above it. Raises RegistryError: when it cannot be written."""
    try:
        replace_file(path, content)
    except OSError as error:
        raise RegistryError(f"{error.filename or path} cannot be written: {error.strerror or error}.") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON in the form of the committed files. Raises RegistryError: when it cannot be written."""
    write(path, json_bytes(content))


def remove(path: Path) -> None:
    """Delete a file. Raises RegistryError: when it cannot be deleted."""
    try:
        path.unlink()
    except OSError as error:
        raise RegistryError(f"{path} cannot be deleted: {error.strerror or error}.") from error


def read(path: Path) -> bytes:
    """Return the content of a file. Raises RegistryError: when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises RegistryError: when it cannot be read or is not JSON."""
    try:
        return json.loads(read(path))
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{path} is not valid JSON: {error}.") from error
