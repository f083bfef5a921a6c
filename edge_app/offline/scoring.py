"""Score counted crossings against hand-made truth: paired, missed and false ones. Pure except for `read_truth`.

Per class group (car, motorcycle, heavy = bus and truck, bicycle) and direction, counted and true crossings are paired
one to one within a tolerance in time, as many as possible (Kuhn's augmenting paths): first with the crossings that are
certain, then with the uncertain ones, so that in a dense stream no count that belongs to an uncertain crossing takes
the place of a certain one. Crossings without a partner are false or missed, so misses and false counts cannot cancel
out. Effectiveness is that of the AI City Challenge 2021, Track 1 (Naphade et al.): 1 - the weighted root mean square
error of the cumulative counts over ten equal segments, later segments weighing more, against the true count.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

from edge_app.errors import ConfigError
from edge_app.records import Direction, Line
from edge_app.system.names import stays_below

GROUPS: Final = {"car": "car", "motorcycle": "motorcycle", "bus": "heavy", "truck": "heavy", "bicycle": "bicycle"}
"""Scored group of each class; three-wheelers and people are not scored."""
TOLERANCE_S: Final = 1.0
"""Largest difference in time, s, of a counted and a true crossing that are paired."""
WITHIN: Final = 0.10
"""Error of a speed, as a share, up to which it is told as right."""
SEGMENTS: Final = 10
"""Equal parts of a clip at whose ends effectiveness compares cumulative counts."""
SEGMENT_WEIGHTS: Final = tuple(2 * i / (SEGMENTS * (SEGMENTS + 1)) for i in range(1, SEGMENTS + 1))
"""Weights of the squared error at the end of each segment; their sum is 1."""

Key: TypeAlias = tuple[str, Direction]
"""Class group (or "any") and direction."""


@dataclass(frozen=True, slots=True)
class Event:
    """Crossing of a line. time: s from the start of the clip. kmh: speed, None where it is not known."""

    time: float
    label: str
    direction: Direction
    kmh: float | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """Crossings of one line that a careful person saw in a clip.

    length: of the clip, s. uncertain: crossings that count neither for nor against a result.
    """

    clip: str
    line: Line
    fps: float
    length: float
    events: tuple[Event, ...]
    uncertain: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbers of paired, false and missed crossings, and of all true and all counted ones."""

    paired: int = 0
    false: int = 0
    missed: int = 0
    true: int = 0
    counted: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.paired + other.paired,
            self.false + other.false,
            self.missed + other.missed,
            self.true + other.true,
            self.counted + other.counted,
        )

    @property
    def f1(self) -> float:
        wrong = self.false + self.missed
        return 2 * self.paired / (2 * self.paired + wrong) if self.paired + wrong else 1.0


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairing of the crossings of one class group and direction, by their times, s.

    pairs: (true, counted). missed: true ones without a partner. false: counted ones without a partner.
    optional: counted ones that are paired with an uncertain crossing, neither for nor against.
    """

    pairs: tuple[tuple[float, float], ...]
    missed: tuple[float, ...]
    false: tuple[float, ...]
    optional: tuple[float, ...]

    @property
    def tally(self) -> Tally:
        paired, false, missed = len(self.pairs), len(self.false), len(self.missed)
        return Tally(paired, false, missed, true=paired + missed, counted=paired + false)


@dataclass(frozen=True, slots=True)
class SpeedScore:
    """Speeds of paired crossings beside the true ones.

    true: number of those. measured: of them with a speed. median_error: as a share, without sign. within: share of the
    measured ones that are at most `WITHIN` off. None where nothing was measured.
    """

    true: int
    measured: int
    median_error: float | None
    within: float | None


@dataclass(frozen=True, slots=True)
class Score:
    """Score of one clip, or the sum of several.

    rows: tally of each class group and direction. any_class: tally of pairing whatever the class.
    weighted: effectiveness times true crossings, so that scores can be added.
    speed_errors: of crossings paired whatever the class whose true speed is known, as shares; None without a speed.
    """

    rows: Mapping[Key, Tally]
    any_class: Tally
    weighted: float
    speed_errors: tuple[float | None, ...] = ()

    def __add__(self, other: Score) -> Score:
        keys = sorted({*self.rows, *other.rows})
        rows = {key: self.rows.get(key, Tally()) + other.rows.get(key, Tally()) for key in keys}
        errors = self.speed_errors + other.speed_errors
        return Score(rows, self.any_class + other.any_class, self.weighted + other.weighted, errors)

    @property
    def overall(self) -> Tally:
        return sum(self.rows.values(), Tally())

    @property
    def groups(self) -> dict[str, Tally]:
        names = sorted({group for group, _ in self.rows})
        return {name: sum((t for (g, _), t in self.rows.items() if g == name), Tally()) for name in names}

    @property
    def effectiveness(self) -> float | None:
        """Return the effectiveness, 0..1, or None where there are no true crossings."""
        return self.weighted / self.overall.true if self.overall.true else None

    @property
    def speeds(self) -> SpeedScore | None:
        """Return the score of the speeds, None where no true one is known."""
        if not self.speed_errors:
            return None
        found = [abs(error) for error in self.speed_errors if error is not None]
        within = sum(error <= WITHIN for error in found) / len(found) if found else None
        return SpeedScore(len(self.speed_errors), len(found), median(found) if found else None, within)


def score(truth: Truth, counted: Sequence[Event], tolerance: float = TOLERANCE_S) -> Score:
    """Return the score of the counted crossings of one clip, given in any order. tolerance: s."""
    rows = _tallies(truth, counted, tolerance, any_class=False)
    paired = pairings(truth, counted, tolerance, any_class=True)
    any_class = sum((pairing.tally for pairing in paired.values()), Tally())
    return Score(rows, any_class, _weighted_effectiveness(truth, counted), _speed_errors(truth, counted, paired))


def read_truth(path: Path) -> Truth:
    """Read a truth file. Raises ConfigError: when it cannot be read or is not a truth file."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if not stays_below(content["clip"]):
            raise ValueError(f"clip {content['clip']!r} lies outside the folder of the clips")
        line = content["line"]
        return Truth(
            clip=content["clip"],
            line=Line(line["id"], (line["start"][0], line["start"][1]), (line["end"][0], line["end"][1])),
            fps=float(content["fps"]),
            length=content["frames"] / content["fps"],
            events=_events(content["events"], content["fps"]),
            uncertain=_events(content.get("uncertain", []), content["fps"]),
        )
    except OSError as error:
        raise ConfigError(f"cannot read the truth file {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ZeroDivisionError) as error:
        fault = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{path} is not a truth file: {fault}; docs/accuracy.md describes one") from error


def _events(rows: Iterable[Mapping[str, Any]], fps: float) -> tuple[Event, ...]:
    return tuple(Event(row["frame"] / fps, row["class"], row["direction"], _kmh(row)) for row in rows)


def _kmh(row: Mapping[str, Any]) -> float | None:
    kmh = row.get("speed_kmh")
    if kmh is None or (type(kmh) in (int, float) and 0 < kmh < math.inf):
        return kmh
    raise ValueError(f"speed_kmh is {kmh!r}; it must be a number above 0")


def _speed_errors(truth: Truth, counted: Sequence[Event], paired: Mapping[Key, Pairing]) -> tuple[float | None, ...]:
    """Return how far the speeds of paired crossings are off; of several at one time each is taken once."""
    true, found = _speeds(truth.events), _speeds(counted)
    errors: list[float | None] = []
    for (_, direction), pairing in paired.items():
        for at, counted_at in pairing.pairs:
            kmh, told = true[direction, at].pop(0), found[direction, counted_at].pop(0)
            if kmh is not None:
                errors.append(told / kmh - 1 if told is not None else None)
    return tuple(errors)


def _speeds(events: Iterable[Event]) -> dict[tuple[Direction, float], list[float | None]]:
    """Return direction and time -> speeds, km/h, of the crossings that are scored."""
    found: dict[tuple[Direction, float], list[float | None]] = {}
    for event in events:
        if event.label in GROUPS:
            found.setdefault((event.direction, event.time), []).append(event.kmh)
    return found


def _series(events: Iterable[Event], *, any_class: bool) -> dict[Key, list[float]]:
    """Return sorted times by group and direction, without classes that are not scored."""
    found: dict[Key, list[float]] = {}
    for event in events:
        if group := GROUPS.get(event.label):
            found.setdefault(("any" if any_class else group, event.direction), []).append(event.time)
    return {key: sorted(times) for key, times in found.items()}


def pairings(
    truth: Truth, counted: Sequence[Event], tolerance: float = TOLERANCE_S, *, any_class: bool = False
) -> dict[Key, Pairing]:
    """Return the pairing of each group and direction. any_class: ignore the class; the group is then "any"."""
    true = _series(truth.events, any_class=any_class)
    found = _series(counted, any_class=any_class)
    uncertain = _series(truth.uncertain, any_class=any_class)
    return {
        key: _pairing(true.get(key, []), uncertain.get(key, []), found.get(key, []), tolerance)
        for key in {*true, *found}
    }


def _pairing(true: Sequence[float], uncertain: Sequence[float], counted: Sequence[float], tolerance: float) -> Pairing:
    """Return the largest pairing of counted crossings with true ones, and then of the rest with uncertain ones."""
    times = [*true, *uncertain]
    owners = _largest_pairing(times, counted, tolerance)
    certain = {crossing: i for i, crossing in owners.items() if crossing < len(true)}
    return Pairing(
        pairs=tuple((times[crossing], counted[i]) for crossing, i in sorted(certain.items())),
        missed=tuple(time for crossing, time in enumerate(true) if crossing not in certain),
        false=tuple(time for i, time in enumerate(counted) if i not in owners),
        optional=tuple(counted[i] for i, crossing in sorted(owners.items()) if crossing >= len(true)),
    )


def _largest_pairing(times: Sequence[float], counted: Sequence[float], tolerance: float) -> dict[int, int]:
    """Return index of a counted crossing -> index of the time with which it is paired, as many as possible.

    Kuhn's algorithm: times that come first in `times` are paired first, and stay paired, perhaps with another crossing,
    when a later time is paired.
    """
    owners: dict[int, int] = {}

    def assign(crossing: int, tried: set[int]) -> bool:
        for i, time in enumerate(counted):
            if i in tried or abs(time - times[crossing]) > tolerance:
                continue
            tried.add(i)
            if i not in owners or assign(owners[i], tried):
                owners[i] = crossing
                return True
        return False

    for crossing in range(len(times)):
        assign(crossing, set())
    return owners


def _tallies(truth: Truth, counted: Sequence[Event], tolerance: float, *, any_class: bool) -> dict[Key, Tally]:
    found = pairings(truth, counted, tolerance, any_class=any_class)
    return {key: pairing.tally for key, pairing in found.items()}


def _weighted_effectiveness(truth: Truth, counted: Sequence[Event]) -> float:
    true, found = _series(truth.events, any_class=False), _series(counted, any_class=False)
    return sum(_effectiveness(times, found.get(key, []), truth.length) * len(times) for key, times in true.items())


def _effectiveness(true: Sequence[float], counted: Sequence[float], length: float) -> float:
    """Return 1 - the weighted RMSE of the cumulative counts over the true count, at least 0."""
    ends = [length * i / SEGMENTS + 1e-9 for i in range(1, SEGMENTS + 1)]
    gaps = [bisect_right(true, end) - bisect_right(counted, end) for end in ends]
    error = math.sqrt(sum(w * gap**2 for w, gap in zip(SEGMENT_WEIGHTS, gaps, strict=True)))
    return max(0.0, 1 - error / len(true))
