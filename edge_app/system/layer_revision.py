"""Read the revision of what the local page has saved, from the bytes of its file."""

from __future__ import annotations

import re
from typing import Final

_REVISION: Final = re.compile(rb"^revision = (\d{1,9})$", re.MULTILINE)


def revision_of(content: bytes | None) -> int:
    """Return the revision in the file of the page's layer, which may be damaged; 0 where there is none.

    The page draws on it and the keeper compares it, so both must read the same, whatever the file holds.
    """
    found = _REVISION.search(content or b"")
    return int(found[1]) if found else 0
