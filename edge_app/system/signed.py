"""Write and read signed messages: a document as text, and the signature over its topic and itself. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

SCHEMA: Final = "edge-app/signed/1"
Verify = Callable[[str, bytes, str], bool]
"""Tells whether a signature is right. Arguments: public key, text, signature."""
_KEY: Final = re.compile(r"[0-9a-f]{8}")
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9_-]{86}")


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed message as it came. document: JSON, not to be trusted before `is_from` has said so."""

    key: str
    signature: str
    document: str


def signed_text(topic: str, document: str) -> bytes:
    """Return what a signature is made over: a message for one topic is none for another."""
    return f"{topic}\n{document}".encode()


def write_signed(topic: str, document: Mapping[str, Any], key: str, sign: Callable[[bytes], str]) -> str:
    """Return the signed message of a document. key: name of the public key. sign: makes the signature of a text."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    signature = sign(signed_text(topic, text))
    return json.dumps({"schema": SCHEMA, "key": key, "signature": signature, "document": text}, ensure_ascii=False)


def read_signed(message: object) -> Signed | None:
    """Return the parts of a message that is a JSON object of the schema; None for any other, whatever it holds."""
    if not isinstance(message, dict) or message.get("schema") != SCHEMA:
        return None
    key, signature, document = (message.get(name) for name in ("key", "signature", "document"))
    if not (isinstance(key, str) and isinstance(signature, str) and isinstance(document, str)):
        return None
    if not _KEY.fullmatch(key) or not _SIGNATURE.fullmatch(signature):
        return None
    try:
        document.encode()
    except UnicodeEncodeError:  # a lone half of a surrogate pair, which no UTF-8 can hold
        return None
    return Signed(key, signature, document)


def is_from(signed: Signed, topic: str, keys: Mapping[str, str], verify: Verify) -> bool:
    """Return whether one of the keys has signed the document for this topic. keys: name -> public key."""
    public = keys.get(signed.key)
    return public is not None and verify(public, signed_text(topic, signed.document), signed.signature)
