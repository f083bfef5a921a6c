"""Parts that all answers of the city's API are made of, as frozen models; the page reads the same."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(frozen=True)


class Page(Answer):
    """A part of a list."""

    next: Annotated[str | None, Field(description="To be sent as `after` for what follows; null at the end")] = None
