"""Read whose certificate a file holds: NATS and RabbitMQ take the name in it for the user."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cryptography import x509

_USER: Final = re.compile(r"[a-z]+\.[a-z0-9][a-z0-9-]*")
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def user_in(file: Path) -> str:
    """Return the user that `ca.sh` has named in a certificate, KIND.NAME; "" for that of another authority."""
    found = _PEM.search(file.read_bytes())
    if not found:
        return ""
    subject = x509.load_pem_x509_certificate(found[0]).subject
    names = [str(one.value) for one in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    return names[0] if len(names) == 1 and _USER.fullmatch(names[0]) else ""
