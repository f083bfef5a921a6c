"""Write files in one step, and JSON in one form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, and the folders above it, so that a reader finds the old content or the new one, never a part.

    Raises OSError: when the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(content)
    temporary.replace(path)


def json_bytes(content: Any, indent: int = 2) -> bytes:
    """Return the content as the JSON of a committed file: indented, UTF-8, ended by a line feed."""
    return (json.dumps(content, indent=indent, ensure_ascii=False) + "\n").encode()
