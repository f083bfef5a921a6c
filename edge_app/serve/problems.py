"""Describe why a request or a picture is refused: one sentence, and what HTTP says of it (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from edge_app.errors import EdgeAppError


class RefusalError(EdgeAppError, ValueError):
    """A request that is not answered as asked.

    status: HTTP status. sentence: what, where and what to do. retry_after_s: whole seconds after which it may be asked
    again; None where that does not help.
    """

    def __init__(self, status: HTTPStatus, sentence: str, retry_after_s: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after_s = status, sentence, retry_after_s
