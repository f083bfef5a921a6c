"""Parts of the OpenAPI document that no model or signature tells: bodies and problems."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from edge_app.serve.answers import Problem
from edge_app.serve.entrance import PROBLEM_KIND

MOST_PICTURES: Final = 64
"""Pictures in one batch."""
_CLIP_KINDS: Final = ("video/mp4", "video/quicktime", "video/x-matroska", "video/webm", "video/x-msvideo", "video/mpeg")
LINE: Final = r"^([a-z0-9-]+:)?-?[0-9.]+(,-?[0-9.]+){3}$"
"""Form of a counting line; its values are checked as those of `count` are."""
_PICTURE_KINDS: Final = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")
_ANY: Final = {"type": "string", "format": "binary"}
BINARY: Final = {**_ANY, "minLength": 1}
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    int(status): {"description": text, "content": {PROBLEM_KIND: {"schema": Problem.model_json_schema()}}}
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
            **{kind: {"schema": BINARY} for kind in _PICTURE_KINDS},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"picture": BINARY}, "required": ["picture"]}
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
                        "picture": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
                    },
                    "required": ["picture"],
                }
            }
        },
    }
}
CLIP_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "The clip itself: MP4, QuickTime, Matroska, WebM, AVI or MPEG.",
        "content": {kind: {"schema": BINARY} for kind in _CLIP_KINDS},
    }
}
