"""Tell which machine this is, and whether a release of the program can be ordered at this service of it."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DIGITS: Final = 12
_NAMED: Final = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class Places:
    """Where releases come by and lie. state: state folder of the one service whose orders root carries out.

    program: folder of the installer. key: public key of the builds that this device takes.
    """

    state: Path = Path("/var/lib/edge-app")
    program: Path = Path("/opt/edge-app")
    key: Path = Path("/etc/edge-app/release.pub")


INSTALLED: Final = Places()
"""Where the installer puts them."""


def machine(named: Path = _NAMED) -> str:
    """Return 12 hexadecimal digits that services of one machine share, empty where it has no name. named: its file.

    systemd asks programs not to tell that name itself, which other programs may use as a secret.
    """
    with suppress(OSError):
        if name := named.read_bytes().strip():
            return hmac.new(name, b"edge-app", hashlib.sha256).hexdigest()[:_DIGITS]
    return ""


def no_releases(state: Path, places: Places = INSTALLED) -> str:
    """Return why no release can be ordered at a service, one sentence, empty where one can. state: its state folder."""
    if not (places.program / "current").is_dir():
        return "The program was not put here by its installer: renew it the way it came."
    if state.resolve() != places.state.resolve():
        return f"Releases are ordered at edge-app.service, whose state folder is {places.state}."
    return "" if places.key.exists() else f"This device takes no releases from others: it has no {places.key}."
