"""Describe why a request or a picture is refused: one sentence, and what HTTP says of it (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from edge_app.errors import EdgeAppError

PROBLEM_KIND: Final = "application/problem+json"
ALWAYS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""Headers that go with every answer."""


class RefusalError(EdgeAppError, ValueError):
    """A request that is not answered as asked.

    status: HTTP status. sentence: what, where and what to do. retry_after_s: whole seconds after which it may be asked
    again; None where that does not help.
    """

    def __init__(self, status: HTTPStatus, sentence: str, retry_after_s: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after_s = status, sentence, retry_after_s


class Problem(BaseModel):
    """Why something was refused (RFC 9457). detail: one sentence that says what to do."""

    model_config = ConfigDict(frozen=True)

    type: Literal["about:blank"] = "about:blank"
    title: str
    status: int
    detail: str


def problem_of(refused: RefusalError) -> tuple[bytes, dict[str, str]]:
    """Return a refusal as the body and headers of an answer (RFC 9457)."""
    status = HTTPStatus(refused.status)
    body = Problem(title=status.phrase, status=status.value, detail=refused.sentence).model_dump_json()
    headers = {"content-type": PROBLEM_KIND}
    if refused.retry_after_s is not None:
        headers["retry-after"] = str(refused.retry_after_s)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return body.encode(), headers


def raw_problem(refused: RefusalError) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return a refusal as headers and body for who sends it himself, with those that go with every answer."""
    encoded, body = encoded_problem(refused)
    return [*encoded, *ALWAYS], body


def encoded_problem(refused: RefusalError) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return a refusal as encoded headers and body."""
    body, headers = problem_of(refused)
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return [*encoded, (b"content-length", str(len(body)).encode())], body
