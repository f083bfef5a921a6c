"""What the public page is told of streets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AwareDatetime, Field

from edge_app.city.answers import Answer
from edge_app.city.site_answers import Way


class Flow(Answer):
    """Vehicles an hour in the newest quarter of an hour that was seen by half at least, or in its longer interval."""

    start: AwareDatetime
    end: AwareDatetime
    left_to_right: int
    right_to_left: int
    usual: Annotated[float | None, Field(description="Of both directions at this time of the day; null: not known")]


class PublicDay(Answer):
    """Vehicles an hour by quarters of the local day, which has 23 or 25 hours where clocks are changed."""

    start: AwareDatetime
    end: AwareDatetime
    seconds: Annotated[Sequence[int], Field(description="From `start` to the begin of each quarter")]
    vehicles: Sequence[float]


class PublicSite(Answer):
    """A street that the city shows to everybody: its traffic now, its day so far, and the usual one."""

    id: str
    road: str
    lat: float | None
    lon: float | None
    time_zone: str
    left_to_right: Way
    right_to_left: Way
    now: Annotated[
        Flow | None, Field(description="null: no quarter of the last hour was seen by half; that is no zero")
    ]
    synthetic: Annotated[bool, Field(description="What is told is invented, as in a demonstration")]
    part_seen: Annotated[bool, Field(description="Something was seen in the last hour, though `now` is null")]
    today: PublicDay
    usual: PublicDay


class PublicSites(Answer):
    """All streets that the city shows to everybody."""

    at: AwareDatetime
    synthetic: Annotated[bool, Field(description="What is told is invented, as in a demonstration")]
    sites: Sequence[PublicSite]
