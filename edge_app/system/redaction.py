"""Remove logins and passwords from everything that is shown: log records, error messages, health, URLs.

Two rules work together. A secret of the configuration (`keep_secret`) is masked in every spelling that was registered.
And every URL is cut to the parts that cannot hold a login: cameras take it in front of the host, in the query or in the
path.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
_URL: Final = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_CLOSING: Final = ".,:;!?)]}"
"""Characters at the end of a URL that belong to the sentence around it."""
_LOGIN_WORD: Final = re.compile(r"(?i)(?:user|usr|login|pass|pwd|pw|token|auth|key|secret)[a-z]*")
"""A path segment that is followed by a login, as in /user/admin/password/1234."""
_HARMLESS: Final = re.compile(r"(?i)(?:channel|ch|stream|subtype|profile|resolution|codec|fps)=[A-Za-z0-9.]*")
"""Settings in a path that stay visible, so that two streams of a camera can be distinguished."""
_secrets: set[str] = set()


def keep_secret(*texts: str) -> None:
    """Register texts that `redacted` masks from now on; empty ones are ignored."""
    _secrets.update(text for text in texts if text)


def forget_secrets() -> None:
    """Forget every registered secret, for a process that starts again with another configuration."""
    _secrets.clear()


def redacted(text: str) -> str:
    """Return the text with registered secrets masked and every URL in it redacted."""
    for secret in sorted(_secrets, key=len, reverse=True):  # longest first: one may be a part of another
        text = text.replace(secret, MASK)
    return _URL.sub(_redact_match, text)


def redacted_url(url: str) -> str:
    """Return a URL without its login, query and fragment, and with possible logins in its path masked.

    Masked in the path are every value after "=" (except those of a channel, a profile and the like), every segment with
    ":" or "@", and a segment after a word such as "password". Where it is not clear at which character the host begins,
    everything after the scheme is masked.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    login, _, address = rest.rpartition("@")
    if re.search(r"[?#/]", login):  # in the login, or in a path with "@": it is not clear where the host begins
        return f"{scheme}{separator}{MASK}"
    host, *segments = re.split(r"[?#]", address)[0].split("/")
    masked = [_mask_segment(segment, before) for before, segment in zip(["", *segments], segments, strict=False)]
    return scheme + separator + "/".join([host, *masked])


def _mask_segment(segment: str, before: str) -> str:
    if ":" in segment or "@" in segment or _LOGIN_WORD.fullmatch(before):
        return MASK if segment else segment
    return "".join(_mask_setting(part) for part in re.split(r"([&;])", segment))


def _mask_setting(text: str) -> str:
    key, equals, _ = text.partition("=")
    return text if not equals or _HARMLESS.fullmatch(text) else f"{key}={MASK}"


def _redact_match(match: re.Match[str]) -> str:
    url = match[0].rstrip(_CLOSING)
    return redacted_url(url) + match[0][len(url) :]
