"""Sign and verify texts with Ed25519 (RFC 8032), by the library `cryptography`."""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edge_app.errors import ConfigError
from edge_app.system.files import write_atomic
from edge_app.system.key_names import raw_key

_SIGNATURE_BYTES: Final = 64
_RAW: Final = serialization.Encoding.Raw, serialization.PublicFormat.Raw


def verify(public: str, text: bytes, signature: str) -> bool:
    """Return whether a signature is that of a text. It never raises.

    public: key as `public_key` gives it. signature: base64url without padding.
    """
    try:
        raw = base64.b64decode(signature + "==", altchars=b"-_", validate=True)
        if len(raw) != _SIGNATURE_BYTES or _text(raw) != signature:  # one signature has one text
            return False
        Ed25519PublicKey.from_public_bytes(raw_key(public)).verify(raw, text)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, binascii.Error):
        return False
    return True


class SigningKey:
    """Private key of a city."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public_key(self) -> str:
        """Base64 of the 32 bytes of the public key, as `office.keys` takes it."""
        return base64.b64encode(self._key.public_key().public_bytes(*_RAW)).decode()

    def sign(self, text: bytes) -> str:
        """Return the signature of a text, base64url without padding."""
        return _text(self._key.sign(text))


def make_key(path: Path) -> SigningKey:
    """Make a key and write it, PEM (PKCS 8), for nobody else to read. Raises ConfigError: where a file is already."""
    if path.exists():
        raise ConfigError(f"{path}: is there already; a key that devices trust is not overwritten: name another file")
    key = Ed25519PrivateKey.generate()
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    write_atomic(path, key.private_bytes(*encoding).decode(), mode=0o600)
    return SigningKey(key)


def read_key(path: Path) -> SigningKey:
    """Read a private key. Raises ConfigError: when it cannot be read, or is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the signing key cannot be read: {error.strerror}") from error
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PrivateKey):
        return SigningKey(key)
    raise ConfigError(f"{path}: holds no Ed25519 key without a password; `edge-app fleet key` makes one")


def fingerprint_of(public: str) -> str:
    """Return the SHA-256 of a public key in hexadecimal, to compare by eye."""
    return hashlib.sha256(raw_key(public)).hexdigest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
