"""What the city's API answers about what is missing, contradicts, or was kept aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, Field

from edge_app.city.answers import Answer
from edge_app.city.count_answers import LostDay


class GapAnswer(Answer):
    """Numbers of a line that are missing, or will never come."""

    line: Annotated[str, Field(description="SITE/DEVICE/LINE as in topics")]
    installation: str
    first: int
    last: int
    state: Annotated[
        Literal["waiting", "asked", "away", "lost"],
        Field(
            description="What is being done about it. waiting: it may be on its way, and its turn to be asked for will "
            "come; asked: its device was asked for it; away: its device is, and is asked when it comes back; lost: it "
            "will never come"
        ),
    ]
    reason: Annotated[
        str, Field(description="Why it is lost: expired, dropped, damaged, unknown or device_away; else empty")
    ] = ""
    asked: Annotated[AwareDatetime | None, Field(description="When its device was asked first; null: not yet")] = None
    newest: Annotated[AwareDatetime | None, Field(description="When its device was asked last")] = None
    times: Annotated[int, Field(ge=0, description="How often its device was asked")] = 0
    next: Annotated[
        AwareDatetime | None,
        Field(description="When it is asked again, at the earliest, if it does not come; null: not while it is away"),
    ] = None


class GapPage(NamedTuple):
    """A part of all gaps. next: what the next part comes after, None for the last. found: how many there are in all."""

    gaps: list[GapAnswer]
    next: str | None
    found: int


class ClosedGapAnswer(Answer):
    """Numbers of a line that were missing and asked for; each has come since, or will never come."""

    line: Annotated[str, Field(description="SITE/DEVICE/LINE as in topics")]
    installation: str
    first: int
    last: int
    lost: Annotated[int, Field(ge=0, description="How many of them will never come")]
    asked: Annotated[AwareDatetime, Field(description="When the device was asked first")]
    closed: AwareDatetime


class Contradicted(Answer):
    """What does not fit in what a line has sent."""

    line: str
    kind: Annotated[str, Field(description="content, number, totals, future or overlap")]
    what: Annotated[str, Field(description="In a sentence, in English")]
    number: Annotated[int | None, Field(description="Of the interval that does not fit")]
    start: AwareDatetime
    end: AwareDatetime


class Aside(Answer):
    """A message that no device of the contract sends."""

    topic: str
    reason: str
    arrived: AwareDatetime


class Whole(Answer):
    """What is missing from the data, what contradicts, and what was kept aside."""

    gaps: Annotated[
        Sequence[GapAnswer],
        Field(description="Those that may still come, by line, then the lost ones, the newest first"),
    ]
    next: Annotated[str | None, Field(description="`after` of the gaps that follow; null: none do")]
    found: Annotated[int, Field(ge=0, description="Gaps that there are")]
    closed: Annotated[Sequence[ClosedGapAnswer], Field(description="In the last seven days, newest first")]
    lost: Annotated[Sequence[LostDay], Field(description="Files of the archive, the oldest day first")]
    contradictions: Annotated[Sequence[Contradicted], Field(description="The newest 200, newest first")]
    contradictions_next: Annotated[
        str | None, Field(description="`after` of /api/v1/contradictions for those before; null: these are all")
    ]
    contradictions_so_far: Annotated[int, Field(ge=0, description="Found so far; of them the newest 50,000 are kept")]
    aside: Annotated[Sequence[Aside], Field(description="The newest 200, newest first")]
    aside_next: Annotated[
        str | None, Field(description="`after` of /api/v1/aside for those before; null: these are all")
    ]
    aside_so_far: Annotated[int, Field(ge=0, description="About so many so far; of them the newest 50,000 are kept")]


class Contradictions(Answer):
    """What does not fit, the newest first."""

    contradictions: Sequence[Contradicted]
    next: Annotated[str | None, Field(description="`after` of the next page; null: this is the last")]


class AsideMessages(Answer):
    """Messages that no device of the contract sends, the newest first."""

    aside: Sequence[Aside]
    next: Annotated[str | None, Field(description="`after` of the next page; null: this is the last")]
