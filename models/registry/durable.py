"""Files that are whole or absent, also after a power cut: written beside their place, synced, and moved there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from models.common.errors import RegistryError


def put(path: Path, content: bytes) -> None:
    """Puts a file in place at once. Raises RegistryError."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RegistryError(f"{error.filename or path} cannot be written: {error.strerror or error}.") from error


def put_json(path: Path, content: Any) -> None:
    put(path, encoded(content))


def encoded(content: Any) -> bytes:
    """As manifests and entries lie in the repository."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def read(path: Path) -> bytes:
    """Raises RegistryError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error


def read_json(path: Path) -> Any:
    """Raises RegistryError."""
    try:
        return json.loads(read(path))
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{path} is not valid JSON: {error}.") from error


def remove(folder: Path) -> None:
    """With what is in it; nothing where there is none."""
    shutil.rmtree(folder, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """A move is on disk only once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
