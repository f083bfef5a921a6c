"""Read the enrolment file that the city's `ca.sh enrol` makes for one device: certificate, key, authority, broker.

It is a PKCS#12 file (RFC 7292), the standard form for a key that travels under a password: openssl, which the
installer brings along, makes and reads it, and its checksum is bound to the password. Its label holds the broker.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_app.errors import ConfigError

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)
_KEY: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----\n", re.DOTALL)
_LABEL: Final = re.compile(r"friendlyName: edge-app ([a-z0-9-]+)/([a-z0-9-]+) (\S{1,300})\s")
_NAME: Final = re.compile(r"^subject=.*?CN ?= ?(\S+)$", re.MULTILINE)
_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a city gives one device. broker: HOST:PORT. authority, certificate, key: PEM; the key is a secret."""

    site: str
    device: str
    broker: str
    authority: str
    certificate: str
    key: str

    def __repr__(self) -> str:
        return f"Enrolment({self.site}/{self.device})"


def read_enrolment(file: Path, password: str) -> Enrolment:
    """Return the content of an enrolment file.

    Raises ConfigError: when it cannot be read, is none, has another password, or its label names another device than
    its certificate.
    """
    if not shutil.which("openssl"):
        raise ConfigError("an enrolment file is read by openssl, which is missing: apt install openssl")
    refuse_missing(file)
    bags = _openssl(file, password).split("Bag Attributes")
    own = "".join(bag for bag in bags if "localKeyID" in bag)
    label, certificate, key = _LABEL.search(own), _CERTIFICATE.search(own), _KEY.search(own)
    authorities = [found for bag in bags if "localKeyID" not in bag for found in _CERTIFICATE.findall(bag)]
    if not (label and certificate and authorities and key):
        raise ConfigError(f"{file} is no enrolment of edge-app: have ca.sh make one with `ca.sh enrol` and a broker")
    site, device, broker = label.groups()
    name = _NAME.search(own)
    if not name or name[1].replace("\\", "") != f"{site}/{device}":  # openssl 3 may write a slash as \/
        owner = name[1] if name else "nobody"
        raise ConfigError(
            f"{file} is labelled {site}/{device}, but its certificate is that of {owner}, and the broker goes by that: "
            "have ca.sh make it again with `ca.sh enrol`"
        )
    return Enrolment(site, device, broker, "".join(authorities), certificate[0], key[0])


def refuse_missing(file: Path) -> None:
    """Raise ConfigError where there is no enrolment file: before somebody is asked for its password."""
    if not file.is_file():
        raise ConfigError(f"{file} is no file: name the one that ca.sh has made, which ends in .p12")


def _openssl(file: Path, password: str) -> str:
    """Return the file as text with attributes. The password goes in by stdin: others can see arguments."""
    command = ("openssl", "pkcs12", "-in", str(file), "-passin", "stdin", "-nodes")
    try:
        typed = f"{password}\n".encode("utf-8", "surrogateescape")
        done = subprocess.run(command, input=typed, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{file} cannot be read ({error})") from error
    if b"invalid password" in done.stderr:
        raise ConfigError(f"this is not the password of {file}")
    if done.returncode:
        raise ConfigError(f"{file} cannot be read: it is damaged, or no enrolment file")
    return done.stdout.decode("utf-8", "replace")  # a label may have any bytes, and then is none of ours
