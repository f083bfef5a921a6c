"""Make this device's own certificate for its page, and tell the fingerprint by which a person recognises it.

The `openssl` program makes it: the installer brings it anyway, and Python's standard library makes no certificates.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_app.errors import ConfigError, ResourceError
from edge_app.system.files import write_atomic

DAYS: Final = 820
"""Apple's browsers take no certificate that is valid for more than 825 days."""


def make_certificate(names: Sequence[str], addresses: Sequence[str]) -> tuple[bytes, bytes]:
    """Return certificate and key, PEM: an EC key (P-256), signed by itself. Raises ResourceError without `openssl`.

    names, addresses: by which the device is called; the first name is shown by browsers.
    """
    alternatives = ",".join([*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)])
    with tempfile.TemporaryDirectory(prefix="edge-app-") as folder:
        certificate, key = Path(folder, "page_cert"), Path(folder, "page_key")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-sha256", "-days", str(DAYS), "-subj", f"/CN={names[0][:64]}"]
        command += ["-addext", f"subjectAltName={alternatives}", "-addext", "extendedKeyUsage=serverAuth"]
        command += ["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", str(key), "-out", str(certificate)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
            return certificate.read_bytes(), key.read_bytes()
        except subprocess.CalledProcessError as error:
            why = error.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise ResourceError(f"openssl has made no certificate: {''.join(why)}") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise ResourceError(f"openssl cannot be run ({error}): apt-get install openssl") from error


def write_certificate(folder: Path, certificate: bytes, key: bytes) -> None:
    """Write page_cert and page_key, for their owner alone. Raises OSError."""
    write_atomic(folder / "page_key", key, mode=0o600)
    write_atomic(folder / "page_cert", certificate, mode=0o600)


def is_pair(folder: Path) -> bool:
    """Return whether page_cert and page_key can be read and belong together."""
    try:
        # A key under a password would make OpenSSL ask for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(folder / "page_cert", folder / "page_key", lambda: "")
    except (OSError, ValueError):
        return False
    return True


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 of a certificate as browsers show it. Raises ConfigError: when there is none."""
    try:
        der = ssl.PEM_cert_to_DER_cert(certificate.read_text("ascii"))
    except PermissionError as error:
        raise ConfigError(f"{certificate} may not be read by this user: put sudo before the command") from error
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it holds no certificate"
        raise ConfigError(f"{certificate}: {why.lower()}; `sudo edge-app page --renew` makes one") from error
    digest = hashlib.sha256(der).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
