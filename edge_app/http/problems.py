"""Describe why a request or a picture is refused: one sentence, and what HTTP says of it (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge_app.errors import EdgeAppError

PROBLEM_KIND: Final = "application/problem+json"
ALWAYS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""Headers that go with every answer."""


class Reason(BaseModel):
    """Why something was refused."""

    model_config = ConfigDict(frozen=True)

    detail: Annotated[str, Field(description="One sentence that says what to do, in English")]
    code: Annotated[str, Field(description="Names the reason for programs; a page has words of its own for it")] = ""
    parameters: Annotated[Mapping[str, str | int | float], Field(description="What the words of the code name")] = {}


def because(detail: str, *, code: str, **parameters: str | int | float) -> Reason:
    """Return a reason."""
    return Reason(detail=detail, code=code, parameters=parameters)


class Problem(Reason):
    """Why something was refused (RFC 9457)."""

    type: Literal["about:blank"] = "about:blank"
    title: str
    status: int
    errors: Annotated[Sequence[Reason], Field(description="All reasons where there are several")] = ()


def problem_schema() -> dict[str, Any]:
    """Return the JSON Schema of a problem, whole in itself: in an OpenAPI document `#/$defs` leads nowhere."""
    schema = Problem.model_json_schema()
    schema["properties"]["errors"]["items"] = schema.pop("$defs")[Reason.__name__]
    return schema


class RefusalError(EdgeAppError, ValueError):
    """A request that is not answered as asked.

    status: HTTP status. sentence: what, where and what to do. retry_after_s: whole seconds after which it may be asked
    again; None where that does not help. code, parameters: as in `Reason`. `reasons`: all, where there are several.
    """

    def __init__(
        self,
        status: HTTPStatus,
        sentence: str,
        retry_after_s: int | None = None,
        *,
        code: str = "",
        **parameters: str | int | float,
    ) -> None:
        super().__init__(sentence, code=code, **parameters)
        self.status, self.sentence, self.retry_after_s = status, sentence, retry_after_s
        self.reasons: Sequence[Reason] = ()


def refusal_of(status: HTTPStatus, reasons: Sequence[Reason]) -> RefusalError:
    """Return the refusal for some reasons, one at least: the first gives code and parameters."""
    refused = RefusalError(status, "; ".join(reason.detail for reason in reasons), code=reasons[0].code)
    refused.parameters = dict(reasons[0].parameters)
    refused.reasons = reasons if len(reasons) > 1 else ()
    return refused


def problem_of(refused: RefusalError) -> tuple[bytes, dict[str, str]]:
    """Return a refusal as the body and headers of an answer (RFC 9457)."""
    status = HTTPStatus(refused.status)
    given = {"code": refused.code, "parameters": refused.parameters, "errors": refused.reasons}
    told: dict[str, Any] = {name: value for name, value in given.items() if value}
    problem = Problem(type="about:blank", title=status.phrase, status=status.value, detail=refused.sentence, **told)
    body = problem.model_dump_json(exclude_unset=True)
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
