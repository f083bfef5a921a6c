"""Check names that come from foreign data before they become part of a path."""

from __future__ import annotations

import unicodedata


def stays_below(name: str) -> bool:
    """Return True when a name from foreign data, joined to a folder, is a path below that folder.

    It must be relative, without "." and "..", and without control characters and line separators. "/" separates
    folders; a backslash, which does so on other systems, is refused.
    """
    unprintable = any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
    return not unprintable and "\\" not in name and all(part not in ("", ".", "..") for part in name.split("/"))
