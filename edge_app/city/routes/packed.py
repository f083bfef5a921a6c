"""Answers that are made once for all who ask: their bytes, the same compressed, and their ETag (RFC 9110, 8.8.3)."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from fastapi import Request, Response

_SMALL: Final = 1000
"""Bytes up to which an answer is not compressed: the length of the one with a login's secret tells nothing (BREACH)."""
_QUICK: Final = 5
"""Level of gzip: more takes longer than it saves."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A body, what it is compressed (empty where that is not worth it), and its tag."""

    body: bytes
    packed: bytes
    tag: str


def packed(body: bytes) -> Packed:
    """Return a body with all that an answer needs of it."""
    return Packed(body, compressed(body) if is_worth(body) else b"", tag_of(body))


def packed_answer(request: Request, told: Packed, headers: Mapping[str, str], media_type: str) -> Response:
    """Return the answer, or 304 where the client has it already."""
    headers = {**headers, **tag_headers(told.tag, "")}
    if is_known(request, told.tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if told.packed and takes_gzip(request):
        return Response(told.packed, headers={**headers, "content-encoding": "gzip"}, media_type=media_type)
    return Response(told.body, headers=headers, media_type=media_type)


def tag_of(body: bytes) -> str:
    """Return what names a body, in quotes."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def tag_headers(tag: str, vary: str) -> dict[str, str]:
    """Return the headers of a tag, which is weak: it is that of every coding. vary: of the answer so far."""
    return {"etag": f"W/{tag}", "vary": ", ".join(filter(None, (vary, "Accept-Encoding")))}


def is_known(request: Request, tag: str) -> bool:
    """Return whether the client has what the tag names."""
    return tag in request.headers.get("if-none-match", "").replace("W/", "")


def takes_gzip(request: Request) -> bool:
    """Return whether the client takes what is compressed."""
    return "gzip" in request.headers.get("accept-encoding", "")


def is_worth(body: bytes) -> bool:
    """Return whether a body of text is to be compressed."""
    return len(body) > _SMALL


def compressed(body: bytes) -> bytes:
    """Return a body compressed."""
    return gzip.compress(body, _QUICK, mtime=0)
