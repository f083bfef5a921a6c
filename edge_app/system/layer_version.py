"""Read the revision of what the local page has saved, and tell one content of it from another, from its file."""

from __future__ import annotations

import hashlib
import re
from typing import Final

_REVISION: Final = re.compile(rb"^revision = (\d{1,9})$", re.MULTILINE)


def revision_of(content: bytes | None) -> int:
    """Return the revision in the file of the page's layer, which may be damaged; 0 where there is none."""
    found = _REVISION.search(content or b"")
    return int(found[1]) if found else 0


def version_of(content: bytes | None) -> str:
    """Return the revision with a hash of the whole file, "0" where there is none.

    The page draws on it and the keeper compares it. Revisions begin again at 1 once the file is deleted, and a save
    that is taken back gives its number away, so the number alone would not tell two drawings apart.
    """
    return "0" if content is None else f"{revision_of(content)}-{hashlib.sha256(content).hexdigest()[:16]}"
