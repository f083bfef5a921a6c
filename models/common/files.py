"""Write files in one step, and JSON in one form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
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


def json_rows(head: Mapping[str, Any], name: str, rows: Iterable[Any]) -> bytes:
    """Return a JSON object whose last value is a list with a row a line, for lists that people compare line by line."""
    begin = json.dumps(head, ensure_ascii=False).removesuffix("}")
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f"{begin}, {json.dumps(name)}: [\n{lines}\n]}}\n".encode()
