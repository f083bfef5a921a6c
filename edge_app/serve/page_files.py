"""The pages at `/` and `/docs`: their files and the headers that keep them from loading anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "page"
KINDS: Final = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "docs.html": "text/html; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
}
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'"
    ),
    "referrer-policy": "no-referrer",
}
PATHS: Final = ("/", "/docs", "/page/page.css", "/page/page.js", "/page/docs.js")


def read(name: str) -> bytes | None:
    """Return a file of the pages; None when there is none of this name."""
    return (_FOLDER / name).read_bytes() if name in KINDS else None
