"""The inventory: sites as people describe them, and which line counts where from when to when. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from itertools import groupby, pairwise
from typing import Annotated, Any, Final, TypeAlias

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from edge_app.city.calendar import FAR, judge_zone
from edge_app.city.course import DIGITS, LEAST_POINTS, MOST_POINTS, Point, points_of
from edge_app.city.invalid import Place, reason_of_invalid
from edge_app.errors import ConfigError, EdgeAppError
from edge_app.http.problems import Reason, because

MOST_ATTACHMENTS: Final = 200
MOST_SITES: Final = 20_000
MOST_LANES: Final = 30
MOST_TOLD: Final = 20
"""Problems of a file that are told at once."""


class InventoryError(EdgeAppError, ValueError):
    """A description of sites that cannot be; `reasons` lists every one, `problems` their sentences."""

    def __init__(self, *reasons: Reason) -> None:
        self.reasons, self.problems = reasons, tuple(reason.detail for reason in reasons)
        super().__init__("\n".join(self.problems))


def _written(at: object) -> object:
    """Refuse a number, which pydantic would take for seconds since 1970."""
    if isinstance(at, (int, float)):
        raise PydanticCustomError("no_time", "must be a time with an offset, such as 2026-11-30T06:00:00Z")
    return at


def _whole_second(at: datetime) -> datetime:
    """Return a time in UTC, so that the same one always reads alike."""
    try:
        seconds = int(at.timestamp())
        if not 0 < seconds < FAR:
            raise ValueError
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError):
        raise PydanticCustomError("far_year", "must be a time between 1970 and 2999") from None


def known_zone(name: str) -> str:
    """Return the name of a time zone; for pydantic, which tells why it is none."""
    try:
        judge_zone(name)
    except ConfigError:
        words = 'there is no "{zone}"; give an IANA name such as Europe/Berlin'
        shown = name[:60].encode("utf-8", "backslashreplace").decode()  # perhaps with half a character
        raise PydanticCustomError("unknown_zone", words, {"zone": shown}) from None
    return name


Moment: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_whole_second)]

# Control characters have no place in a name, and PostgreSQL takes no NUL.
Words: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
]
SiteName: TypeAlias = Annotated[str, StringConstraints(max_length=200, pattern=r"^[a-z0-9][a-z0-9-]*$")]


def _read_course(course: object) -> object:
    """Return the points of a course that is given as text; an empty one is none."""
    if not isinstance(course, str):
        return course
    try:
        return points_of(course) if course.strip() else None
    except ValueError:
        words = "must be LINESTRING (4.89 52.37, 4.9 52.38) or 4.89 52.37; 4.9 52.38: degrees east, then north"
        raise PydanticCustomError("no_course", words) from None


def _on_earth(point: Point) -> Point:
    east, north = point
    if not (abs(east) <= 180 and abs(north) <= 90):
        raise PydanticCustomError("far_point", "must be degrees east, -180 to 180, then north, -90 to 90")
    return round(east, DIGITS), round(north, DIGITS)


def _with_length(points: Sequence[Point]) -> Sequence[Point]:
    if len(set(points)) < LEAST_POINTS:
        raise PydanticCustomError("no_length", "must have two different points at least")
    return points


_Points: TypeAlias = Annotated[
    list[Annotated[Point, AfterValidator(_on_earth)]],
    Field(min_length=LEAST_POINTS, max_length=MOST_POINTS),
    AfterValidator(_with_length),
]
Course: TypeAlias = Annotated[
    _Points | None, BeforeValidator(_read_course, json_schema_input_type=list[Point] | str | None)
]


class _Part(BaseModel):
    """Part of a description: refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Heading(_Part):
    """One of the two directions of a site."""

    name: Annotated[Words, Field(description="Text for people, may be empty")] = ""
    bearing_deg: Annotated[
        int | None, Field(ge=0, le=359, description="Where the vehicles drive to, clockwise from true north")
    ] = None


class Attachment(_Part):
    """A line of a device that counts at a site from a time to a time."""

    device: Annotated[
        str,
        StringConstraints(max_length=129, pattern=r"^[a-z0-9-]+/[a-z0-9-]+$"),
        Field(description="SITE/DEVICE as in topics"),
    ]
    line: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    begins: Annotated[Moment | None, Field(description="Included; null: since its first interval")] = None
    ends: Annotated[Moment | None, Field(description="Not included; null: until now")] = None
    turned: Annotated[bool, Field(description="The line's left to right is the site's right to left")] = False
    breaks: Annotated[bool, Field(description="Counts before its begin cannot be compared with those after")] = False
    reason: Annotated[Words, Field(description="Why it was attached, for people")] = ""

    @model_validator(mode="after")
    def _has_a_length(self) -> Attachment:
        if self.span[0] >= self.span[1]:
            raise PydanticCustomError("ends_early", "`ends` must be later than `begins`")
        return self

    @property
    def span(self) -> tuple[int, int]:
        """Begin and end, UTC s; without an end a time beyond all."""
        return int(self.begins.timestamp()) if self.begins else 0, int(self.ends.timestamp()) if self.ends else FAR

    @property
    def names(self) -> tuple[str, str, str]:
        """Site and device of the topic, and the line."""
        site, _, device = self.device.partition("/")
        return site, device, self.line


class SiteContent(_Part):
    """What is told of a site; what is left out is empty."""

    road: Annotated[Words, Field(min_length=1)]
    lat: Annotated[float | None, Field(ge=-90, le=90, description="Degrees north")] = None
    lon: Annotated[float | None, Field(ge=-180, le=180, description="Degrees east")] = None
    course: Annotated[
        Course,
        Field(
            description="Points of the road, each degrees east and north, or as text: WKT, or `4.89 52.37; 4.9 52.38`"
        ),
    ] = None
    time_zone: Annotated[str, AfterValidator(known_zone), Field(max_length=60, description="IANA name")]
    left_to_right: Heading = Heading()
    right_to_left: Heading = Heading()
    lanes: Annotated[int | None, Field(ge=1, le=MOST_LANES, description="Of the whole road")] = None
    public: Annotated[bool, Field(description="Shown on the public page")] = False
    attachments: Annotated[Sequence[Attachment], Field(max_length=MOST_ATTACHMENTS)] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> SiteContent:
        if (self.lat is None) != (self.lon is None):
            raise PydanticCustomError("half_position", "lat and lon go together: give both or none")
        for one, other in pairwise(sorted(self.attachments, key=lambda a: a.span)):
            if other.span[0] < one.span[1]:
                raise PydanticCustomError(
                    "count_together",
                    "{one} and {other} would count at the same time: let one end where the other begins",
                    {"one": f"{one.device}/{one.line}", "other": f"{other.device}/{other.line}"},
                )
        return self


class SiteDescription(SiteContent):
    """A site with its id."""

    id: SiteName


def described(values: Any, place: Place | None = None) -> SiteDescription:
    """Return a site from plain values. place: where they stand in a file. Raises InventoryError."""
    try:
        return SiteDescription.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        raise InventoryError(*(reason_of_invalid(one, place) for one in errors)) from None


def judge_together(sites: Sequence[SiteDescription]) -> None:
    """Raise InventoryError where an id comes twice or a line would count at two of the sites at once."""
    problems = [
        because(f"{name} is described more than once", code="described_twice", site=name)
        for name in _repeated(site.id for site in sites)
    ]
    attached = sorted((a.names, a.span, site.id) for site in sites for a in site.attachments)
    for names, group in groupby(attached, key=lambda one: one[0]):
        for (_, one, first), (_, other, second) in pairwise(group):  # those of one site are apart
            if other[0] < one[1] and first != second:
                problems.append(counts_twice("/".join(names), first, second))
    if problems:
        raise InventoryError(*problems[:MOST_TOLD])


def counts_twice(line: str, one: str, other: str) -> Reason:
    """Return the reason against a line that two sites claim at the same time."""
    detail = f"{line} would count at {one} and at {other} at the same time: end it at one of them first"
    return because(detail, code="counts_twice", line=line, one=one, other=other)


def _repeated(names: Iterable[str]) -> Iterator[str]:
    for name, group in groupby(sorted(names)):
        if len(list(group)) > 1:
            yield name
