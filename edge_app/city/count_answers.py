"""What the city's API answers about what was counted: steps of time, and days that are lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AwareDatetime, Field

from edge_app.city.answers import Answer


class CountsOfStep(Answer):
    """Vehicles of one step of time. Where `covered` is below 1 there were at least so many."""

    start: AwareDatetime
    end: AwareDatetime
    covered: Annotated[float, Field(ge=0, description="Share of the step in which no vehicle could pass unseen")]
    flagged: Annotated[float, Field(ge=0, description="Share of the step with a quality flag")]
    late: Annotated[
        float,
        Field(ge=0, description="Share of the step that arrived later than an interval's length after its end"),
    ]
    synthetic: Annotated[bool, Field(description="Some of it is invented: a demonstration, a rendered street")]
    straddling_s: Annotated[int, Field(ge=0, description="Seconds of its last interval that lie beyond its end")]
    length_s: Annotated[int, Field(ge=0, description="Of the intervals that begin in it, whose vehicles these are")]
    seen_s: Annotated[
        float, Field(ge=0, description="Of `length_s`, in which no vehicle could pass unseen: rates are counts by it")
    ]
    late_s: Annotated[int, Field(ge=0, description="Of `length_s`, of intervals that arrived late")]
    counts: Annotated[Mapping[str, Mapping[str, int]], Field(description="By class and direction, of what is asked")]
    flags: Annotated[Sequence[str], Field(description="Quality flags of its intervals, of one at least")]
    doubtful: Annotated[
        int, Field(ge=0, description="Vehicles of all classes of which the detector is unsure; some are right")
    ]
    estimated: Annotated[
        Mapping[str, Mapping[str, float]] | None,
        Field(
            exclude_if=lambda value: value is None,
            description="Counts as they would be if the rest of the step was as what was seen of it: only where asked "
            "for, of quarters and hours that are over and of which half was seen. An estimate, in no sum",
        ),
    ] = None


class LostDay(Answer):
    """A file of the archive that is lost for good: of its day there were at least so many as is told."""

    start: AwareDatetime
    end: AwareDatetime
    file: Annotated[str, Field(description="Name below the archive's folder; it had a thousand lines at most")]
    intervals: Annotated[int, Field(description="That were in it; their sums are still there")]
    reason: Annotated[str, Field(description="Why, as the person said who has given it up")]
    noted: Annotated[AwareDatetime, Field(description="When it was given up")]


class Counts(Answer):
    """Counts of a site. A step that is not named has no data: that is no zero."""

    site: str
    step: str
    time_zone: Annotated[str, Field(description="Whose hours, days and months these are")]
    steps: Sequence[CountsOfStep]
    lost: Annotated[Sequence[LostDay], Field(description="Days for which there were at least so many")]


class Hours(Answer):
    """A site's hours with data as columns, for a heat map. An hour that is not named has none: that is no zero."""

    site: str
    time_zone: Annotated[str, Field(description="Whose hours these are")]
    start: Annotated[AwareDatetime, Field(description="From which `seconds` are counted")]
    seconds: Annotated[Sequence[int], Field(description="When each hour begins")]
    vehicles: Annotated[Sequence[int], Field(description="Of all classes and both directions")]
    covered: Annotated[Sequence[float], Field(description="Share of the hour in which no vehicle could pass unseen")]
    synthetic: Annotated[Sequence[bool], Field(description="Some of the hour is invented")]
    seen_s: Annotated[
        Sequence[float],
        Field(description="Seconds seen of the intervals that begin in the hour, whose vehicles these are"),
    ]
