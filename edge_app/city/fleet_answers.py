"""What the city's API answers about its fleet, as frozen models: devices, the office, orders, roll-outs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from edge_app.city.answers import Answer, Page
from edge_app.city.database.orders import OrderKind, OrderState
from edge_app.city.desired import Origin, State
from edge_app.http.problems import Reason
from edge_app.rollout.leading import RolloutState
from edge_app.rollout.members import Kind, MemberState

Parts: TypeAlias = Annotated[
    Sequence[Reason],
    Field(description="The same taken apart, to be told in other languages; a part without code is English"),
]


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
    certificate_ends: Annotated[
        AwareDatetime | None,
        Field(description="When the first of its certificates, its own or its authority's, ends; null: not told"),
    ]
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


class Tally(Answer):
    """How many devices have a value. name: of a model, for people."""

    value: str
    name: str = ""
    devices: int


class Fleet(Answer):
    """How many devices there are, and what they run."""

    devices: int
    drifting: Annotated[int, Field(description="Those that tell that picture, detector or traffic are no longer usual")]
    states: Sequence[Tally]
    versions: Sequence[Tally]
    models: Sequence[Tally]
    office: Annotated[Sequence[Tally], Field(description="What became of the office's configuration")]


class LineAnswer(Answer):
    """A counting line of a device, as its configuration file would have it; what is not configured is left out."""

    id: str
    start: tuple[float, float]
    end: tuple[float, float]
    road: str | None = None
    left_to_right: str | None = None
    right_to_left: str | None = None
    left_to_right_bearing_deg: int | None = None
    right_to_left_bearing_deg: int | None = None
    lanes: Sequence[float] | None = None
    queue: Sequence[tuple[float, float]] | None = None
    enters: Literal["left_to_right", "right_to_left"] | None = None


class DeviceDay(Answer):
    """How a device has done on a day of its own time."""

    start: AwareDatetime
    end: AwareDatetime
    seen: Annotated[float | None, Field(description="Share in which no vehicle could pass unseen; null: no line yet")]
    flagged: Annotated[float | None, Field(description="Share with a quality flag")]
    flags: Annotated[Mapping[str, float], Field(description="Seconds by flag")]


class ConfigUse(Answer):
    """From when on a device counted under a configuration."""

    at: Annotated[AwareDatetime, Field(description="Begin of the quarter of an hour in which it did first")]
    config: str
    model: str
    before: Annotated[str | None, Field(description="Configuration of before; null: of the first one that is known")]
    model_before: str | None
    drawn: Annotated[Sequence[str], Field(description="Lines that were drawn anew")]
    keys: Annotated[Sequence[str], Field(description="Settings that differ")]


class DeviceWhole(Answer):
    """A device with what it counts, how it does, and how it was configured. Texts are the device's own."""

    device: DeviceAnswer
    time_zone: str
    lines: Sequence[LineAnswer]
    health: Annotated[Mapping[str, Any], Field(description="Its last health message; empty before the first")]
    days: Annotated[Sequence[DeviceDay], Field(description="The last ones, the oldest first")]
    configs: Annotated[Sequence[ConfigUse], Field(description="Of the last 400 days, newest first")]


class OfficeLayer(Answer):
    """What the office sets on a device, and what the device says of it."""

    state: State
    desired: Annotated[
        Mapping[str, Any] | None,
        Field(description="revision, at, author, set, unset; null: nothing, or not known"),
    ]
    origin: Annotated[
        Origin | None,
        Field(
            description="Of `desired`: signed by the office; foreign: by somebody else, and devices refuse it; older: "
            "than what the device has accepted; unchecked: the city does not know the office's public key, or has "
            "not seen the message since it judges them"
        ),
    ]
    reported: Annotated[Mapping[str, Any] | None, Field(description="Its last config/reported; null: it tells none")]


class OfficeAnswer(Answer):
    """The process that has the office's signing key and carries out orders."""

    running: bool
    seen: AwareDatetime | None
    problem: Annotated[str, Field(description="One sentence on what it cannot do, empty when all is well")]
    keys: Annotated[Sequence[str], Field(description="Keys of the configuration that the office may set")]


class OrderAnswer(Answer):
    """Something that somebody has asked of the office's process."""

    id: int
    at: AwareDatetime
    who: str
    kind: OrderKind
    subject: Annotated[str, Field(description="SITE/DEVICE, or the name of a roll-out")]
    args: Mapping[str, Any]
    state: OrderState
    answer: Annotated[str, Field(description="One sentence, empty before")]
    answer_parts: Parts
    changed: AwareDatetime
    file: Annotated[bool, Field(description="What the device has sent for it is still there")]


class Orders(Answer):
    """Orders, newest first."""

    orders: Sequence[OrderAnswer]


class Placed(Answer):
    """An order that was placed."""

    id: int


class GroupAnswer(Answer):
    """A group of a roll-out. states: of its devices -> how many."""

    number: Annotated[int, Field(description="From 1")]
    devices: int
    begun: AwareDatetime | None
    states: Mapping[MemberState, int]


class RolloutAnswer(Answer):
    """A candidate that is given to the fleet, a group at a time."""

    id: int
    name: str
    kind: Kind
    candidate: Annotated[str, Field(description="SHA-256 of the detector file, or of the archive of a release")]
    version: Annotated[str, Field(description="Of a release; empty for a detector")]
    state: RolloutState
    group: Annotated[int, Field(description="The present one, from 1")]
    groups: Sequence[GroupAnswer]
    why: Annotated[str, Field(description="Of the newest change of its state or group")]
    why_parts: Parts
    who: str
    changed: AwareDatetime


class Rollouts(Answer):
    """Roll-outs, newest first."""

    rollouts: Sequence[RolloutAnswer]


class Sums(Answer):
    """Vehicles of one class, by both detectors over the same frames; with a release, and as was to be expected."""

    name: str
    candidate: float
    before: float


class MemberAnswer(Answer):
    """A device of a roll-out."""

    device: str
    group: int
    state: MemberState
    reason: str
    reason_parts: Parts
    changed: AwareDatetime


class EventAnswer(Answer):
    """Something that has happened to a roll-out."""

    at: AwareDatetime
    who: Annotated[str, Field(description="A person, `rule`, or the device")]
    what: str
    subject: str
    why: str
    why_parts: Parts


class RolloutWhole(Answer):
    """A roll-out with what it is judged by, its devices and its history."""

    rollout: RolloutAnswer
    decision: Annotated[Literal["stop", "pass", "wait"], Field(description="By counts, and the output of a detector")]
    reasons: Annotated[Sequence[str], Field(description="Why these stop it")]
    reasons_parts: Annotated[Sequence[Sequence[Reason]], Field(description="The same, each taken apart")]
    hours: Annotated[int, Field(description="Hours of devices in this group that could be compared")]
    judged: AwareDatetime | None
    sums: Sequence[Sums]
    lacking: Annotated[Sequence[str], Field(description="Of what the group has not counted enough to pass")]
    leans: Annotated[str, Field(description="That its output seems to be worse, so that it waits, or empty")]
    leans_parts: Parts
    starves: Annotated[bool, Field(description="It waits, and none of its devices has compared anything")]
    since: AwareDatetime
    hours_of_group: Annotated[float, Field(description="Shortest time of a group, h")]
    members: Annotated[
        Sequence[MemberAnswer],
        Field(
            description="A thousand at most; those that got out of it or are gone first, then those of the newest group"
        ),
    ]
    events: Annotated[Sequence[EventAnswer], Field(description="Newest first, a thousand at most")]
