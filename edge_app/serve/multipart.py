"""Take a multipart/form-data body apart in memory (RFC 7578). The only file that imports python_multipart."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from edge_app.http.problems import RefusalError

FIELD: Final = "picture"
"""A field of this name is a file also where its sender names none, as RFC 7578 (4.2) allows."""

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # whoever sends what is broken is told


@dataclass(frozen=True, slots=True)
class Part:
    """One field. name: of the field. file: name of the file, "" for a plain value."""

    name: str
    file: str
    content: bytes


def is_multipart(content_type: str) -> bool:
    """Return whether a Content-Type is that of a form with files."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def parts_of(body: bytes | bytearray, content_type: str, most: int) -> list[Part]:
    """Return the parts of a body. most: number of parts that are taken.

    Raises RefusalError: for a body of another form or with too many parts.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise _broken("its Content-Type names no boundary")
    collector = _Collector(most)
    try:
        parser = MultipartParser(boundary, collector.callbacks())  # type: ignore[arg-type]
        parser.write(bytes(body))
        parser.finalize()
    except FormParserError as error:
        raise _broken(str(error).rstrip(".").lower()[:120]) from None
    if not collector.ended:
        raise _broken("its end is missing")
    return collector.parts


def _broken(why: str) -> RefusalError:
    return RefusalError(HTTPStatus.BAD_REQUEST, f"the multipart body is broken ({why}): send it anew")


class _Collector:
    """Receiver of the parser's calls."""

    def __init__(self, most: int) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._most = most
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value, self._content = b"", b"", bytearray()

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._on_end,
        }

    def _begin(self) -> None:
        if len(self.parts) >= self._most:
            raise RefusalError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {self._most} parts are taken at once: send fewer"
            )
        self._headers, self._content = {}, bytearray()

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def _end(self) -> None:
        options = parse_options_header(self._headers.get(b"content-disposition", b""))[1]
        name, file = (options.get(key, b"").decode("utf-8", "replace") for key in (b"name", b"filename"))
        self.parts.append(Part(name, file or name * (name == FIELD), bytes(self._content)))

    def _on_end(self) -> None:
        self.ended = True
