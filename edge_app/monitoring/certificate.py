"""Read the end of a certificate's validity from its bytes, and warn in time.

The standard library gives that date only for a certificate that a peer presents; that of the device's own certificate
must be known before a broker refuses it.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Final

from edge_app.errors import ConfigError

WARN_DAYS: Final = 30
"""Days before the end from which on `expiry_warning` warns."""
_DAY_S: Final = 86_400
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME = 0x30, 0xA0, 0x17


def ends_at(file: Path) -> float:
    """Return when the first certificate in a PEM file ends, UTC s.

    Raises ConfigError: when the file cannot be read or holds no valid certificate.
    """
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


def first_end(files: Iterable[Path]) -> float | None:
    """Return when the first of some certificates ends, UTC s; None where none can be read."""
    return min((end for file in files if (end := _readable_end(file)) is not None), default=None)


def _readable_end(file: Path) -> float | None:
    with suppress(ConfigError):
        return ends_at(file)
    return None


def ended(files: Iterable[Path], now: float) -> str:
    """Return one sentence on the first certificate that has ended, empty when none has. now: UTC s."""
    for file in files:
        with suppress(ConfigError):
            if (end := ends_at(file)) <= now:
                return f"certificate {file} ended on {_day(end)}; install a new one"
    return ""


def expiry_warning(files: Collection[Path], now: float) -> str:
    """Return one sentence on a certificate that has ended, else on the first that ends within WARN_DAYS or is unread.

    now: UTC s. The sentence is empty when all is well.
    """
    return ended(files, now) or next(_doubtful(files, now), "")


def _doubtful(files: Iterable[Path], now: float) -> Iterator[str]:
    for file in files:
        try:
            end = ends_at(file)
        except ConfigError as error:
            yield str(error)
            continue
        if (left := end - now) < WARN_DAYS * _DAY_S:
            yield f"certificate {file} ends on {_day(end)}, in {int(left / _DAY_S)} days; install a new one before"


def _day(end: float) -> date:
    return datetime.fromtimestamp(end, timezone.utc).date()


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element in a sequence of bytes.

    Source: X.690; DER has definite lengths only.
    """
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("an element is longer than the data around it")
        yield tag, data[at : at + length]
        at += length


def _not_after(der: bytes) -> float:
    """Return the end of validity, UTC s, of a certificate in DER form.

    Source: RFC 5280, 4.1: version (optional), serial number, signature, issuer, validity.
    """
    _, certificate = next(_elements(der))
    _, signed = next(_elements(certificate))
    parts = [part for part in _elements(signed) if part[0] != _VERSION]
    tag, validity = parts[3]
    if tag != _SEQUENCE:
        raise ValueError("the certificate has no validity")
    (_, _begin), (kind, end) = _elements(validity)
    text = end.decode("ascii")
    if kind == _UTC_TIME:  # the year has two digits: from 50 on it is 19xx
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
