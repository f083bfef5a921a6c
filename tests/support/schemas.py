"""Validate payloads against the JSON Schemas that are generated from the payload models."""

from __future__ import annotations

import functools
import json
from typing import Any

import jsonschema

from edge_app.mqtt import schemas


@functools.cache
def _validator(channel: str) -> Any:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return jsonschema.Draft202012Validator(schemas.schemas()[channel], format_checker=checker)


def validate(channel: str, payload: str | bytes) -> Any:
    """Return the decoded payload; raise jsonschema.ValidationError when it does not fit the channel's schema."""
    document = json.loads(payload)
    _validator(channel).validate(document)
    return document
