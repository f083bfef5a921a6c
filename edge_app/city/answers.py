"""What the city's API answers, as frozen models; the page reads the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

State: TypeAlias = Literal["counting", "blind", "moved", "blurred", "slow", "late", "offline", "unknown"]


class Answer(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(frozen=True)


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
    state_reason: Annotated[str, Field(description="One sentence where the state is not `counting`")]
    device: Annotated[str, Field(description="SITE/DEVICE as in topics, empty where none is attached")]
    line: str
    turned: Annotated[bool, Field(description="The line's left to right is the site's right to left")]
    newest: Annotated[AwareDatetime | None, Field(description="Begin of the newest quarter of an hour with counts")]
    synthetic: Annotated[
        bool, Field(description="Its device invents what it counts: a demonstration, a rendered street")
    ]
    last_minutes: Annotated[LastMinutes | None, Field(description="null: nothing has come lately; that is no zero")]


class Page(Answer):
    """A part of a list."""

    next: Annotated[str | None, Field(description="To be sent as `after` for what follows; null at the end")] = None


class Sites(Page):
    """Sites by their id."""

    sites: Sequence[SiteAnswer]


class ChangeAnswer(Answer):
    """What has changed at a site."""

    at: AwareDatetime
    kind: Annotated[
        Literal["line", "drawn", "model", "config", "installation"],
        Field(description="Another line, the line drawn anew, another model or configuration, numbers that begin anew"),
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
    straddling_s: Annotated[int, Field(ge=0, description="Seconds of its intervals that lie beyond its end")]
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


class CreditAnswer(Answer):
    """A part of the words that name the source of a map."""

    text: str
    href: Annotated[str, Field(description="Where it leads, may be empty")]


class TilesAnswer(Answer):
    """The city's file of map tiles, PMTiles of version 3."""

    address: Annotated[str, Field(description="Of the file, which is read by ranges")]
    kind: Literal["vector", "raster"]
    min_zoom: int
    max_zoom: int
    bounds: Annotated[tuple[float, float, float, float], Field(description="West, south, east, north, degrees")]
    credits: Sequence[CreditAnswer]


class MapAnswer(Answer):
    """What the map is drawn on."""

    tiles: Annotated[TilesAnswer | None, Field(description="null: the city has given none")]


class DeviceAnswer(Answer):
    """A device and what it last said of itself."""

    device: str
    state: str
    heard: AwareDatetime
    version: str
    contract: str
    unsent: int | None
    lost: int | None
    temperature_c: float | None
    frames_per_s: float | None
    quality: Sequence[str]
    problem: str
    model: Annotated[str, Field(description="First digits of the SHA-256 of its detector; empty: not told")] = ""
    model_name: Annotated[str, Field(description="Text for people; empty: not told")] = ""
    config: Annotated[str, Field(description="Under what it counts; empty: not told")] = ""
    drift: Annotated[Sequence[str], Field(description="What is no longer as in the months before")] = ()
    office: Annotated[
        Literal["none", "trying", "applied", "refused", "rolled_back", "unknown"],
        Field(description="What became of the newest configuration of the office; unknown: it tells none"),
    ] = "unknown"
    revision: Annotated[int, Field(description="Of the office's configuration in use, 0 without one")] = 0


class Devices(Page):
    """Devices by their name."""

    devices: Sequence[DeviceAnswer]
    found: Annotated[int, Field(description="All that are meant, in this part and in others")] = 0


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

    gaps: Sequence[GapAnswer]
    closed: Annotated[Sequence[ClosedGapAnswer], Field(description="In the last seven days, newest first")]
    lost: Annotated[Sequence[LostDay], Field(description="Files of the archive, the oldest day first")]
    contradictions: Annotated[Sequence[Contradicted], Field(description="The newest 200, newest first")]
    contradictions_so_far: Annotated[int, Field(ge=0, description="Found so far; of them the newest 50,000 are kept")]
    aside: Annotated[Sequence[Aside], Field(description="The newest 200, newest first")]
    aside_so_far: Annotated[int, Field(ge=0, description="About so many so far; of them the newest 50,000 are kept")]


class Usual(Answer):
    """The usual day of a site for one weekday: medians of quarters of an hour."""

    days: Annotated[int, Field(description="Days of which it is made")]
    seconds: Annotated[Sequence[int], Field(description="Second of the local day at which each quarter begins")]
    vehicles: Sequence[float]


class CityHealth(Answer):
    """Page and database answer."""

    state: Literal["ok"]
    version: str
    broker: Literal["connected", "away"] = Field(description="Connection of the worker beside the page to its broker")
    worker: Literal["keeps up", "behind", "silent"] = Field(
        description="behind: what comes is older than two minutes; silent: connected, and nothing has come for five"
    )
    behind_s: int = Field(ge=0, description="Age of the newest intervals that come, from their end")
    silent_s: int = Field(ge=0, description="Since the last message, while there is a connection")


class Me(Answer):
    """Who asks."""

    user: Annotated[str, Field(description="Name of the user that has logged in, else empty")]
    right: Annotated[Literal["none", "read", "write", "admin"], Field(description="Each includes those before")]
    csrf: Annotated[str, Field(description="To be sent as X-CSRF-Token by a page that changes something")]
    open: Annotated[bool, Field(description="There is no user: whoever is on the machine may do everything")]


class UserAnswer(Answer):
    """A user."""

    name: str
    role: Literal["viewer", "engineer", "administrator"]
    made: AwareDatetime


class Users(Answer):
    """All users."""

    users: Sequence[UserAnswer]


class TokenAnswer(Answer):
    """A token of a program, without its secret."""

    name: str
    scope: Literal["read", "write", "admin"]
    made: AwareDatetime
    ends: Annotated[AwareDatetime | None, Field(description="null: never")]


class Tokens(Answer):
    """All tokens."""

    tokens: Sequence[TokenAnswer]


class Secret(Answer):
    """A new token."""

    name: str
    secret: Annotated[str, Field(description="To be sent as `Authorization: Bearer`")]


class AuditEntry(Answer):
    """A change."""

    id: int
    at: AwareDatetime
    who: str
    action: str
    subject: str
    change: Annotated[Mapping[str, Sequence[Any]], Field(description="Value before and after, by key")]


class Audit(Answer):
    """Changes, newest first."""

    entries: Sequence[AuditEntry]


class Flow(Answer):
    """Vehicles an hour in the newest quarter of an hour that was seen by half at least."""

    start: AwareDatetime
    end: AwareDatetime
    left_to_right: int
    right_to_left: int
    usual: Annotated[float | None, Field(description="Of both directions at this time of the day; null: not known")]


class PublicDay(Answer):
    """Vehicles an hour by quarters of the local day, from its begin."""

    start: AwareDatetime
    seconds: Sequence[int]
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
