"""Say in one sentence what is wrong in a file of settings that a person wrote, by pydantic's errors. Pure."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from edge_app.config.wording import describe_value


def first_fault(error: ValidationError, model: type[BaseModel]) -> str:
    """Return where the first fault is and what is wrong there, without a full stop.

    model: what the file should have been. A key that does not exist goes first: the one that is missing is often the
    same one, spelt well.
    """
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][-1]), set(_keys(model)), 1, cutoff=0.7)
        return f"{place}: there is no such key" + (f' (did you mean "{near[0]}"?)' if near else "")
    if first["type"] == "string_pattern_mismatch":
        return f"{place}: {first['msg']}"
    return f"{place}: {describe_value(first)}" if place else describe_value(first)


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield the keys of a model and of all models within it."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        for inner in _models(field.annotation):
            yield from _keys(inner)


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in typing.get_args(kind):
        yield from _models(inner)
