"""Write files in one step, and JSON in one form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_app.system.files import write_atomic


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, and the folders above it, so that a reader finds the old content or the new one, never a part.

    Raises OSError: with the file's name, when it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk is found while writing
        raise


def json_bytes(content: Any, indent: int = 2) -> bytes:
    """Return the content as the JSON of a committed file: indented, UTF-8, ended by a line feed."""
    return (json.dumps(content, indent=indent, ensure_ascii=False) + "\n").encode()
