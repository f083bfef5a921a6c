"""Read what candidates have counted beside the detectors in service, for the stop rule of a roll-out.

While a candidate is tried it counts beside the detector in service; in a roll-out it is in service, and the detector
of before counts beside. A message does not say which of the two is the candidate: a person does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from edge_app.errors import ConfigError
from edge_app.mqtt.count_messages import DirectionCounts, ShadowMessage
from edge_app.rollout.stop_rule import StopRule
from edge_app.system.names import clean

_NIGHT_ENDS: Final = 6
_NIGHT_BEGINS: Final = 21
"""Hours of the day: between them it is light for most of the year."""
_HOUR_S: Final = 3600
_HASH: Final = 12
"""Digits of a SHA-256 in a message."""
Sums: TypeAlias = dict[str, float]
Hours: TypeAlias = dict[tuple[str, int], tuple[Sums, Sums]]
"""Device and hour, s -> vehicles by class of two detectors."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Comparisons of a candidate with a detector of before, by the names of both.

    hours: vehicles of the candidate, and of the detector of before. beside, in_service: devices on which the candidate
    counted so. others: intervals of other detectors, which are left out.
    """

    candidate: str
    before: str
    hours: Hours
    beside: frozenset[str]
    in_service: frozenset[str]
    others: int

    def rule(self, tz: ZoneInfo) -> StopRule:
        """Return the stop rule with all of it. tz: says when it is night."""
        rule = StopRule()
        for (_, hour), (candidate, before) in sorted(self.hours.items(), key=lambda item: item[0][::-1]):
            rule.add(candidate, before, night=is_night(hour * _HOUR_S, tz))
        return rule


@dataclass(slots=True)
class _Pair:
    """Comparisons of one detector that counts beside with one in service. intervals: how many were added up."""

    hours: Hours = field(default_factory=dict)
    intervals: int = 0

    def add(self, message: ShadowMessage) -> None:
        hour = int(message.start.timestamp()) // _HOUR_S
        beside, in_service = self.hours.setdefault((f"{message.site}/{message.device}", hour), ({}, {}))
        _add(beside, message.counts)
        _add(in_service, message.in_service.counts)
        self.intervals += 1

    @property
    def devices(self) -> frozenset[str]:
        return frozenset(device for device, _ in self.hours)


@dataclass(slots=True)
class Collected:
    """Comparisons of any detectors. unread: lines that are no comparison, or that of a detector with itself."""

    unread: int = 0
    _pairs: dict[tuple[str, str], _Pair] = field(default_factory=dict)
    """Detector that counts beside, and the one in service, each by its name."""
    _seen: set[str] = field(default_factory=set)

    def add(self, lines: Iterable[str]) -> None:
        """Take messages of `shadow/LINE`, one a line, with or without their topic; a repeated one counts once."""
        for line in lines:
            text = line[line.find("{") :].strip() if "{" in line else line.strip()
            if not text:
                continue
            try:
                self._take(ShadowMessage.model_validate_json(text))
            except ValidationError:
                self.unread += 1

    def _take(self, message: ShadowMessage) -> None:
        names = _shown(message.model), _shown(message.in_service.model)
        if names[0] == names[1]:
            self.unread += 1
        elif message.id not in self._seen:
            self._seen.add(message.id)
            self._pairs.setdefault(names, _Pair()).add(message)

    def of(self, candidate: str = "", before: str = "") -> Compared:
        """Return the comparisons of one candidate with one detector of before.

        candidate, before: first digits of their SHA-256, or all; empty: the detector that counts beside, and the only
        one with which the candidate was compared. Raises ConfigError: when there are several of them, or none.
        """
        mine = self._named(candidate) if candidate else self._only()
        with_it = {pair for pair in self._pairs if mine in pair}
        formers = sorted({_other(pair, mine) for pair in with_it})
        former = _found(before, formers, "--before", f"detector that was compared with {mine}")
        first, second = self._pairs.get((mine, former), _Pair()), self._pairs.get((former, mine), _Pair())
        hours: Hours = {key: ({}, {}) for key in (*first.hours, *second.hours)}
        for pair, mine_is in ((first, 0), (second, 1)):
            for key, sums in pair.hours.items():
                for into, of in zip(hours[key], (sums[mine_is], sums[1 - mine_is]), strict=True):
                    _sum(into, of)
        used = first.intervals + second.intervals
        others = sum(pair.intervals for pair in self._pairs.values()) - used
        return Compared(mine, former, hours, first.devices, second.devices, others)

    def _only(self) -> str:
        """Return the detector that counts beside, where all comparisons are of the same two. Raises ConfigError."""
        if not self._pairs:
            raise ConfigError("there is no comparison: messages of shadow/LINE are judged, one a line")
        if len(self._pairs) > 1:
            raise ConfigError(
                f"comparisons of several detectors are never mixed, and here are {'; '.join(self._listed())}: name the "
                "candidate with --candidate HASH"
            )
        return next(iter(self._pairs))[0]

    def _listed(self) -> Iterator[str]:
        for (beside, in_service), pair in sorted(self._pairs.items()):
            yield f"{beside} beside {in_service} in service (devices: {len(pair.devices)})"

    def _named(self, candidate: str) -> str:
        return _found(candidate, sorted({name for pair in self._pairs for name in pair}), "--candidate", "detector")


def _shown(model: str) -> str:
    """Return the name of a detector for people; a device that cannot read its file tells an empty one."""
    return clean(model) or "unknown"


def _other(pair: tuple[str, str], one: str) -> str:
    return pair[1] if pair[0] == one else pair[0]


def _found(digits: str, names: list[str], option: str, what: str) -> str:
    """Return the only name that begins so. Raises ConfigError: when there are several, or none."""
    found = [name for name in names if name.startswith(digits.lower()[:_HASH])]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"{option} {digits}: no {what} begins so; there are: {', '.join(names) or 'none'}")
    raise ConfigError(
        f"more than one {what}{f' begins with {digits}' if digits else ''}: {', '.join(found)}; their comparisons are "
        f"never mixed, so name one with {option} HASH"
    )


def _add(sums: Sums, counts: Mapping[str, DirectionCounts]) -> None:
    _sum(sums, {name: float(ways.left_to_right + ways.right_to_left) for name, ways in counts.items()})


def _sum(sums: Sums, more: Mapping[str, float]) -> None:
    for name, vehicles in more.items():
        sums[name] = sums.get(name, 0.0) + vehicles


def is_night(at: int, tz: ZoneInfo) -> bool:
    """Return whether an hour counts as one of the night. at: its begin, UTC s."""
    return not _NIGHT_ENDS <= datetime.fromtimestamp(at, tz).hour < _NIGHT_BEGINS
