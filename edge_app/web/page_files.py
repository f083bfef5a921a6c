"""Read the files of the local page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "page"
_HEAD: Final = "head.html"
"""What every page of the folder begins with."""
_KINDS: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def read_page_file(path: str) -> tuple[str, bytes] | None:
    """Return media type and content of a file of the page; None when the page has no such file.

    path: as in the address, such as /page.css; / is the page itself.
    """
    name = "index.html" if path == "/" else path[1:]
    if path[:1] != "/" or name not in _names():
        return None
    kind = _KINDS[Path(name).suffix]
    head = (_FOLDER / _HEAD).read_bytes() if kind == "text/html" else b""
    return f"{kind}; charset=utf-8", head + (_FOLDER / name).read_bytes()


def _names() -> set[str]:
    """Return the names in the folder: a name that is compared with these leads nowhere else."""
    return {path.name for path in _FOLDER.iterdir() if path.suffix in _KINDS and path.name != _HEAD}
