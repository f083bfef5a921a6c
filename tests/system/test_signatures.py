"""Signatures: the RFC's own values, what is no signature, and files of keys."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from edge_app.errors import ConfigError
from edge_app.system.key_names import key_name, raw_key
from edge_app.system.signatures import fingerprint_of, make_key, read_key, verify

# RFC 8032, 7.1, TEST 2
PUBLIC = base64.b64encode(bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")).decode()
TEXT = b"\x72"
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def as_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_the_signature_of_the_rfc_is_right() -> None:
    assert verify(PUBLIC, TEXT, as_text(SIGNATURE))


@pytest.mark.parametrize(
    "signature",
    [
        "",
        as_text(SIGNATURE)[:-1],
        as_text(SIGNATURE) + "A",
        as_text(SIGNATURE) + "==",
        as_text(SIGNATURE[:-1] + bytes([SIGNATURE[-1] ^ 1])),
        as_text(bytes(64)),
        as_text(SIGNATURE)[:-1] + "B",  # the same bytes, in another text
        "ä" * 86,
        "?" * 86,
    ],
)
def test_what_is_no_signature_is_refused_without_an_error(signature: str) -> None:
    assert not verify(PUBLIC, TEXT, signature)


def test_another_text_or_key_is_refused() -> None:
    assert not verify(PUBLIC, TEXT + b" ", as_text(SIGNATURE))
    assert not verify(base64.b64encode(bytes(32)).decode(), TEXT, as_text(SIGNATURE))
    assert not verify("no key", TEXT, as_text(SIGNATURE))


def test_a_made_key_signs_and_is_read_again(tmp_path: Path) -> None:
    made = make_key(tmp_path / "city.key")
    read = read_key(tmp_path / "city.key")
    assert read.public_key == made.public_key
    assert verify(made.public_key, b"text", read.sign(b"text"))
    assert (tmp_path / "city.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="is there already"):
        make_key(tmp_path / "city.key")
    assert read_key(tmp_path / "city.key").public_key == made.public_key


def test_a_key_of_openssl_is_read(tmp_path: Path) -> None:
    path = tmp_path / "city.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True)
    assert len(raw_key(read_key(path).public_key)) == 32


@pytest.mark.parametrize("kind", ["missing", "no key", "another kind"])
def test_what_is_no_key_is_told_in_a_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "city.key"
    if kind == "no key":
        path.write_text("hello")
    if kind == "another kind":
        command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path)]
        subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(ConfigError, match=r"city\.key: "):
        read_key(path)


def test_a_key_has_a_name() -> None:
    assert fingerprint_of(PUBLIC).startswith(key_name(PUBLIC))
    assert len(key_name(PUBLIC)) == 8
    for wrong in ("", "AAAA", PUBLIC[:-2] + "!=", PUBLIC + "AAAA"):
        with pytest.raises(ValueError, match="44 characters"):
            raw_key(wrong)
