"""What the city's API answers about sites: what they are, their state, what has changed, their usual day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from edge_app.city.answers import Answer, Page

State: TypeAlias = Literal["counting", "blind", "moved", "blurred", "slow", "late", "offline", "unknown"]


class Way(Answer):
    """One of the two directions of a site."""

    name: Annotated[str, Field(description="Text for people, may be empty")]
    bearing_deg: Annotated[int | None, Field(description="Where the vehicles drive to, clockwise from true north")]


class LastMinutes(Answer):
    """Vehicles of the intervals of the last five minutes, or of the newest interval, where that is longer."""

    end: Annotated[AwareDatetime, Field(description="Of the newest interval")]
    length_s: Annotated[int, Field(description="Of the intervals together")]
    seen_s: Annotated[float, Field(description="Of that, in which no vehicle could pass unseen")]
    left_to_right: int
    right_to_left: int


class SiteAnswer(Answer):
    """A place at a road where vehicles are counted."""

    id: str
    road: str
    lat: float | None
    lon: float | None
    course: Annotated[
        Sequence[tuple[float, float]] | None,
        Field(description="Points of the road, each degrees east and north; null: not known"),
    ]
    time_zone: str
    left_to_right: Way
    right_to_left: Way
    lanes: int | None
    public: bool
    state: State
    state_reason: Annotated[
        str, Field(description="English sentence where the state is not `counting`: the device's own, where it has one")
    ]
    state_code: Annotated[str, Field(description="Names the reason for programs; a page has words of its own for it")]
    state_parameters: Annotated[
        Mapping[str, str | int | float],
        Field(description="What the words of the code name; `device_says`: the device's own sentence, in English"),
    ]
    device: Annotated[str, Field(description="SITE/DEVICE as in topics, empty where none is attached")]
    line: str
    turned: Annotated[bool, Field(description="The line's left to right is the site's right to left")]
    newest: Annotated[AwareDatetime | None, Field(description="Begin of the newest quarter of an hour with counts")]
    synthetic: Annotated[
        bool, Field(description="Its device invents what it counts: a demonstration, a rendered street")
    ]
    last_minutes: Annotated[LastMinutes | None, Field(description="null: nothing has come lately; that is no zero")]


class Sites(Page):
    """Sites by their id."""

    sites: Sequence[SiteAnswer]


class ChangeAnswer(Answer):
    """What has changed at a site."""

    at: AwareDatetime
    kind: Annotated[
        Literal["line", "place", "drawn", "model", "config", "installation"],
        Field(
            description="Another line, the same elsewhere or drawn anew, another model or configuration, numbers anew"
        ),
    ]
    breaks: Annotated[bool, Field(description="Counts before and after cannot be compared")]
    before: str
    after: str
    reason: Annotated[str, Field(description="Why, or which settings; may be empty")]


class Changes(Answer):
    """What has changed at a site, by time."""

    site: str
    changes: Sequence[ChangeAnswer]


class Imported(Answer):
    """What became of an imported inventory. Sites that it does not name stay as they are."""

    sites: Annotated[int, Field(description="Sites that were named")]
    changed: Annotated[Sequence[str], Field(description="Ids of those that are new or different now")]
    unheard: Annotated[Sequence[str], Field(description="SITE/DEVICE/LINE that are attached and have sent nothing")]
