"""When a certificate ends, read from its own bytes, and what a person is told before it does.

The standard library tells the end only of a certificate that somebody presents; ours must be known before a broker
refuses it.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from edge_app.errors import ConfigError

WARN_DAYS: Final = 30
_DAY_S: Final = 86_400
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME = 0x30, 0xA0, 0x17


def ends_at(file: Path) -> float:
    """UTC s at which the first certificate in a PEM file ends. Raises ConfigError when there is none to read."""
    try:
        found = _PEM.search(file.read_text("ascii", errors="replace"))
    except OSError as error:
        raise ConfigError(f"certificate {file} cannot be read ({error.strerror})") from error
    if not found:
        raise ConfigError(f"{file} holds no certificate in PEM form")
    try:
        return _not_after(ssl.PEM_cert_to_DER_cert(found[0]))
    except (ValueError, IndexError, StopIteration) as error:
        raise ConfigError(f"certificate {file} is damaged") from error


def expiry_warning(files: Iterable[Path], now: float) -> str:
    """One sentence about the first that has ended or ends within WARN_DAYS; empty when all is well. now: UTC s."""
    for file in files:
        try:
            left = ends_at(file) - now
        except ConfigError as error:
            return str(error)
        day = datetime.fromtimestamp(now + left, timezone.utc).date()
        if left <= 0:
            return f"certificate {file} ended on {day}; install a new one"
        if left < WARN_DAYS * _DAY_S:
            return f"certificate {file} ends on {day}, in {int(left / _DAY_S)} days; install a new one before"
    return ""


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element in a row. Source: X.690, definite lengths, as DER has no others."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("an element is longer than what holds it")
        yield tag, data[at : at + length]
        at += length


def _not_after(der: bytes) -> float:
    """Source: RFC 5280, 4.1: version (optional), serial number, signature, issuer, validity."""
    _, certificate = next(_elements(der))
    _, signed = next(_elements(certificate))
    parts = [part for part in _elements(signed) if part[0] != _VERSION]
    tag, validity = parts[3]
    if tag != _SEQUENCE:
        raise ValueError("no validity where it should be")
    (_, _begin), (kind, end) = _elements(validity)
    text = end.decode("ascii")
    if kind == _UTC_TIME:  # two digits of the year: 50 and more are of the last century
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
