"""Remove logins and passwords from everything that is shown: log records, error messages, health, URLs.

Two rules work together. A secret of the configuration (`keep_secret`) is replaced by *** in every spelling that was
registered; one of a few letters, which other words have in them too, only where a password stands. And every URL is cut
to the parts that cannot hold a login: cameras take it in front of the host, in the query or anywhere in the path, and
nothing in a path says that it is a password. So only path segments that cameras are known to use for streams are shown.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
PLACEHOLDER: Final = "PASSWORD"
"""What stands for a password in a command that a person completes; a login with it is shown."""
CUT_LOGIN: Final = (
    "has a login with /, ? or # in it: give it as source.username and source.password, or write these characters as "
    "%2F, %3F and %23"
)
"""What to do about a URL for which `has_cut_login` is True."""
_URL: Final = re.compile(r"\b(?:[A-Za-z][A-Za-z0-9+.-]*://|(?:rtsps?|https?|rtmps?|srt|mqtts?|wss?):/)[^\s'\"<>]+")
"""A URL in a text; a path object writes the two slashes of one as a single slash."""
_CLOSING: Final = ".,:;!?)]}"
"""Characters at the end of a URL that belong to the sentence around it."""
_KNOWN: Final = re.compile(
    r"(?i)(?:streaming|unicast|multicast|media|video|live|main|sub|stream|channels?|ch|cam|camera|profile|onvif|track|"
    r"mqtt|PATH|h264|h265|hevc|mjpe?g|av|[a-z]|axis-media|media\.amp|cgi-bin|realmonitor|annotated|plain|road|test)\d{0,2}"
    r"(?:\.(?:sdp|mjpe?g|jpg|cgi))?"
)
"""Path segments that cameras and their documents use for streams; with up to two digits behind."""
_NUMBER: Final = re.compile(r"\d{1,3}")
"""A number behind a known segment, as in /Streaming/Channels/101."""
_HARMLESS: Final = re.compile(r"(?i)(?:channel|ch|stream|subtype|profile)=\d{1,3}(?:\.sdp)?")
"""Settings in a path that stay visible, so that two streams of a camera can be distinguished."""
_SHORT: Final = 4
"""Number of characters below which a secret may be a part of any word."""
_PASSWORD: Final = r"(?<![A-Za-z])(?i:pass|passwd|password|passphrase|pwd|pw)[\"'\\]*\s*[=:]\s*[\"'\\]*"
"""What stands in front of a password that is written out as a setting."""
_secrets: set[str] = set()


def keep_secret(*texts: str) -> None:
    """Register texts that `redacted` replaces from now on; empty ones are ignored."""
    _secrets.update(text for text in texts if text)


def forget_secrets() -> None:
    """Forget every registered secret, for a process that starts again with another configuration."""
    _secrets.clear()


def redacted(text: str) -> str:
    """Return the text without registered secrets, and with every URL in it redacted."""
    for secret in sorted(_secrets, key=len, reverse=True):  # longest first: one may be a part of another
        text = text.replace(secret, MASK) if len(secret) >= _SHORT else _without_short(secret, text)
    return _URL.sub(_redact_match, text)


def _without_short(secret: str, text: str) -> str:
    """Return the text without a short secret where a password may stand: behind a setting's name, and in a login."""
    word = re.escape(secret)
    return re.sub(rf"({_PASSWORD}){word}(?!\w)|(:){word}(?=@)", rf"\1\2{MASK}", text)


def redacted_url(url: str) -> str:
    """Return a URL without its login, query and fragment, and its path up to the first segment that may hold a secret.

    Where it is not clear at which character the host begins, everything after the scheme is replaced by ***.
    """
    scheme, separator, rest = re.match(r"(?:([^/?#@]*?)(:/{1,2}))?(.*)", url, re.DOTALL).groups(default="")  # type: ignore[union-attr]  # always matches
    login, _, address = rest.rpartition("@")
    if re.search(r"[?#/]", login):  # in the login, or in a path with "@": it is not clear where the host begins
        return f"{scheme}{separator}{MASK}"
    host, *segments = re.split(r"[?#]", address)[0].split("/")
    shown = f"{login}@" if login.endswith(f":{PLACEHOLDER}") else ""
    return scheme + separator + shown + "/".join([host, *_visible(segments)])


def has_cut_login(url: str) -> bool:
    """Return True when /, ? or # in a URL's login makes its host begin too early; then the whole is no valid address.

    A path may hold an "@" too: without another sign of a login, the host must look like none and what is behind the "@"
    like one.
    """
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)([/?#])(.*)", url, re.DOTALL)
    if not found or "@" not in found[3]:
        return False
    host, _, port = found[1].rpartition("@")[2].partition(":")
    behind = re.split(r"[/?#:]", found[3].rpartition("@")[2])[0]
    unlike = "." not in host and host not in ("localhost", "") and "." in behind
    return found[2] == "#" or (bool(port) and not port.isdecimal() and not host.startswith("[")) or unlike


def _visible(segments: list[str]) -> list[str]:
    """Return the segments of a path as they may be shown; from the first unknown one on a single ***."""
    shown: list[str] = []
    for segment in segments:
        if "=" in segment and "%" not in segment:
            shown.append("".join(_mask_setting(part) for part in re.split(r"([&;])", segment)))
        elif not segment or _KNOWN.fullmatch(segment) or (any(shown) and _NUMBER.fullmatch(segment)):
            shown.append(segment)
        else:
            return [*shown, MASK]
    return shown


def _mask_setting(text: str) -> str:
    key, equals, _ = text.partition("=")
    if not equals or _HARMLESS.fullmatch(text):
        return text if text in ("&", ";", "") or equals else MASK
    return f"{key}={MASK}" if re.fullmatch(r"[A-Za-z]{1,12}", key) else MASK


def _redact_match(match: re.Match[str]) -> str:
    url = match[0].rstrip(_CLOSING)
    return redacted_url(url) + match[0][len(url) :]
