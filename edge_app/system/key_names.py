"""Read public keys and name them, without the library that uses them: a device loads that only when it has keys."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

KEY_BYTES: Final = 32


def raw_key(public: str) -> bytes:
    """Return the 32 bytes of a public key of Ed25519. public: their base64. Raises ValueError: for anything else."""
    try:
        raw = base64.b64decode(public, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ValueError("must be a public key as `edge-app fleet key` prints it: 44 characters of base64")
    return raw


def key_name(public: str) -> str:
    """Return the name of a public key in messages: the first 8 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(raw_key(public)).hexdigest()[:8]
