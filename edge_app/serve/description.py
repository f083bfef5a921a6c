"""Parts of the OpenAPI document that no model or signature tells: bodies and problems."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from edge_app.http.problems import PROBLEM_KIND, problem_schema
from edge_app.serve import examples

MOST_PICTURES: Final = 64
"""Pictures in one batch."""
CLIP_KINDS: Final = ("video/mp4", "video/quicktime", "video/x-matroska", "video/webm", "video/x-msvideo", "video/mpeg")
LINE_FORMAT: Final = "counting-line"
"""JSON Schema has no such format: a pattern cannot say that both ends must differ, or that ids must."""
PICTURE_KINDS: Final = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")
_ANY: Final = {"type": "string", "format": "binary"}
BINARY: Final = {**_ANY, "minLength": 1}
_PARTS: Final = {"encoding": {"picture": {"contentType": ", ".join(PICTURE_KINDS)}}}


def _street(path: str) -> dict[str, Any]:
    """Return the example of a body, which the service itself hands out."""
    return {"examples": {"street": {"summary": "A rendered street", "externalValue": path}}}


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    int(status): {"description": text, "content": {PROBLEM_KIND: {"schema": problem_schema()}}}
    for status, text in (
        (HTTPStatus.BAD_REQUEST, "The body is empty or broken."),
        (HTTPStatus.UNAUTHORIZED, "A token is needed."),
        (HTTPStatus.FORBIDDEN, "The token lacks the scope, or a foreign page asks."),
        (HTTPStatus.NOT_FOUND, "There is no such model."),
        (HTTPStatus.REQUEST_TIMEOUT, "The body comes too slowly."),
        (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Too many bytes or pixels."),
        (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "This is no picture."),
        (HTTPStatus.UNPROCESSABLE_ENTITY, "The picture is broken, or a parameter is out of range."),
        (HTTPStatus.TOO_MANY_REQUESTS, "You have too many jobs; Retry-After says when to ask again."),
        (HTTPStatus.SERVICE_UNAVAILABLE, "The queue is full; Retry-After says when to ask again."),
    )
}
ONE_PICTURE: Final = {
    "requestBody": {
        "required": True,
        "description": "The picture as the body, or as the first file of a form.",
        "content": {
            **{kind: {"schema": BINARY} for kind in PICTURE_KINDS},
            "image/jpeg": {"schema": BINARY, **_street(examples.PICTURE)},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"picture": BINARY}, "required": ["picture"]},
                **_PARTS,
            },
        },
    }
}
SEVERAL_PICTURES: Final = {
    "requestBody": {
        "required": True,
        "description": f"Up to {MOST_PICTURES} pictures as files of one form.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "picture": {
                            "type": "array",
                            "items": BINARY,
                            "minItems": 1,
                            "maxItems": MOST_PICTURES,
                        }
                    },
                    "required": ["picture"],
                },
                **_PARTS,
                **_street(examples.FORM),
            }
        },
    }
}
CLIP_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "The clip itself: MP4, QuickTime, Matroska, WebM, AVI or MPEG.",
        "content": {
            **{kind: {"schema": BINARY} for kind in CLIP_KINDS},
            "video/mp4": {"schema": BINARY, **_street(examples.CLIP)},
        },
    }
}
JOB_LINKS: Final = {
    name: {"operationId": name, "parameters": {"job": "$response.body#/id"}}
    for name in ("state", "result", "annotated", "remove")
}
"""What can be asked about a job, by the id in the answer that made it."""
