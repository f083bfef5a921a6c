"""What the city's API answers of a day as a curve: how it went, and how it usually goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AwareDatetime, Field

from edge_app.city.answers import Answer


class Rates(Answer):
    """Quarters of an hour of a site as columns, for a curve. One that is not named has no data: that is no zero."""

    site: str
    start: Annotated[AwareDatetime, Field(description="From which `seconds` are counted")]
    seconds: Annotated[Sequence[int], Field(description="When each quarter begins")]
    clock: Annotated[
        Sequence[int], Field(description="Second of the day that clocks show then: twice where they are set back")
    ]
    vehicles: Annotated[
        Sequence[float | None],
        Field(
            description="In a quarter of an hour, both directions, at the rate of what was seen: of the intervals that "
            "begin in it, or of the one that reaches over it; null: less than half of the quarter was seen"
        ),
    ]
    covered: Annotated[
        Sequence[float],
        Field(description="Share of the quarter in which no vehicle could pass unseen, whichever interval it is of"),
    ]


class Usual(Answer):
    """The usual day of a site for one weekday: medians of quarters of an hour."""

    days: Annotated[int, Field(description="Days of which it is made")]
    seconds: Annotated[Sequence[int], Field(description="Second of the day that clocks show when each quarter begins")]
    vehicles: Annotated[Sequence[float], Field(description="In a quarter of an hour, both directions")]
