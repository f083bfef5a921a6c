"""Take logins and passwords out of whatever is shown: log records, sentences of faults, health, URLs.

Two rules work together. A secret that the configuration names (`keep_secret`) appears nowhere, in no spelling that was
registered. And of every URL only the parts remain that cannot hold a login: cameras want it in front of the host, in
the query or in the path.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
_URL: Final = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_CLOSING: Final = ".,:;!?)]}"
"""Signs at the end of a URL that belong to the sentence around it."""
_NAMED: Final = re.compile(r"(?i)(?:user|usr|login|pass|pwd|pw|token|auth|key|secret)[a-z]*")
"""A path segment after which a login follows, as in /user/admin/password/1234."""
_HARMLESS: Final = re.compile(r"(?i)(?:channel|ch|stream|subtype|profile|resolution|codec|fps)=[A-Za-z0-9.]*")
"""Settings in a path that are shown, so that two streams of a camera can be told apart."""
_secrets: set[str] = set()


def keep_secret(*texts: str) -> None:
    """Let these texts appear nowhere from now on; empty ones are ignored."""
    _secrets.update(text for text in texts if text)


def forget_secrets() -> None:
    """Forget every registered secret, for a process that begins anew with another configuration."""
    _secrets.clear()


def redacted(text: str) -> str:
    """Return a text as it may be shown: without registered secrets, and with every URL in it redacted."""
    for secret in sorted(_secrets, key=len, reverse=True):  # the longest first: one may be a part of another
        text = text.replace(secret, MASK)
    return _URL.sub(_url_in_text, text)


def redacted_url(url: str) -> str:
    """Return a URL without its login, query and fragment, and without what may be a login in its path.

    In the path every value after "=" (of a channel, a profile and the like apart), every segment with ":" or "@", and
    a segment behind a word such as "password" are masked. Where no telling is possible at which sign the host begins,
    everything behind the scheme is masked.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    login, _, place = rest.rpartition("@")
    if re.search(r"[?#/]", login):  # a login with such a sign, or an "@" behind the host: where does the host begin?
        return f"{scheme}{separator}{MASK}"
    host, *segments = re.split(r"[?#]", place)[0].split("/")
    shown = [_segment(segment, before) for before, segment in zip(["", *segments], segments, strict=False)]
    return scheme + separator + "/".join([host, *shown])


def _segment(segment: str, before: str) -> str:
    if ":" in segment or "@" in segment or _NAMED.fullmatch(before):
        return MASK if segment else segment
    return "".join(_setting(part) for part in re.split(r"([&;])", segment))


def _setting(text: str) -> str:
    key, sign, _ = text.partition("=")
    return text if not sign or _HARMLESS.fullmatch(text) else f"{key}={MASK}"


def _url_in_text(match: re.Match[str]) -> str:
    url = match[0].rstrip(_CLOSING)
    return redacted_url(url) + match[0][len(url) :]
