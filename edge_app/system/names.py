"""Check names that come from foreign data before they become part of a path or a URL, and clean them to be shown."""

from __future__ import annotations

import unicodedata


def stays_below(name: str) -> bool:
    """Return True when a name from foreign data, joined to a folder, is a path below that folder.

    It must be relative, without "." and "..", and without control characters and line separators. "/" separates
    folders; a backslash, which does so on other systems, is refused.
    """
    unprintable = any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
    return not unprintable and "\\" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def url_host(host: str) -> str:
    """Return a host as it stands in a URL or before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def as_utf8(text: str) -> str:
    """Return a file name as valid UTF-8, for a file that others read: bytes that are none become U+FFFD."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def clean(text: str, keep: str = "") -> str:
    """Return text without characters that a terminal could take for a command. keep: those that stay all the same."""
    return "".join(c if c.isprintable() or c in keep else " " for c in text)
