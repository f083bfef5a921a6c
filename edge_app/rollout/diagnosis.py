"""Put what people need who support a device into one ZIP file: no secret, no picture."""

from __future__ import annotations

import io
import json
import logging
import os
import platform
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, Final

from edge_app import __version__
from edge_app.errors import EdgeAppError
from edge_app.system.clock import rfc3339
from edge_app.system.redaction import redacted

log = logging.getLogger(__name__)

_FILES: Final = 1_000
"""Files that are listed of a folder."""


def archive(parts: Mapping[str, Callable[[], object]]) -> bytes:
    """Return a ZIP file.

    parts: name of a file in it -> returns its content: text, or what JSON can hold. One that cannot be told has the
    reason instead. Every text goes through `redacted`.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            # Without a date of its own: a clock that is not set may lie before what a ZIP file can hold.
            file.writestr(zipfile.ZipInfo(name), _text(name, content), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def versions() -> dict[str, Any]:
    """Return the versions of program, interpreter, system and packages."""
    packages = {one.metadata["Name"]: one.version for one in metadata.distributions()}
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = ""
    return {
        "edge-app": __version__,
        "python": sys.version,
        "system": system,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "packages": dict(sorted(packages.items())),
    }


def files_of(folder: Path) -> dict[str, Any]:
    """Return sizes and dates of what lies in a folder, its subfolders included; not what is in it."""
    found = [*islice(_files(folder), _FILES + 1)]
    return {"files": found[:_FILES], "complete": len(found) <= _FILES}


def _files(folder: Path) -> Iterator[dict[str, Any]]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            try:
                about = path.lstat()
            except OSError:  # it is gone already
                continue
            shown = str(path.relative_to(folder))
            yield {"file": shown, "bytes": about.st_size, "modified": rfc3339(round(about.st_mtime))}


def _text(name: str, content: Callable[[], object]) -> str:
    try:
        found = content()
    except EdgeAppError as error:
        found = {"error": str(error)}
    except (OSError, ValueError, MemoryError) as error:
        log.warning("%s cannot be told (%s)", name, error)
        found = {"error": str(error) or type(error).__name__}
    if isinstance(found, str):
        return redacted(found)
    return json.dumps(_redacted(found), indent=1, ensure_ascii=False, default=str)


def _redacted(value: object) -> object:
    """Return the same with every text redacted: one by one, since a JSON text may end within what looks like a URL."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {redacted(str(key)): _redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item) for item in value]
    return value
