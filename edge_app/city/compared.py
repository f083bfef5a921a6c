"""Read what candidates have counted beside the detectors in service, for the stop rule of a roll-out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
Sums: TypeAlias = dict[str, float]


@dataclass(slots=True)
class Collected:
    """Comparisons of one candidate. hours: device and hour, s -> vehicles by class of candidate and of before.

    unread: lines that are no comparison. candidates: models that were compared.
    """

    hours: dict[tuple[str, int], tuple[Sums, Sums]] = field(default_factory=dict)
    unread: int = 0
    candidates: set[str] = field(default_factory=set)
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
        if message.id in self._seen:
            return
        self._seen.add(message.id)
        self.candidates.add(message.model)
        hour = int(message.start.timestamp()) // _HOUR_S
        candidate, before = self.hours.setdefault((f"{message.site}/{message.device}", hour), ({}, {}))
        _add(candidate, message.counts)
        _add(before, message.in_service.counts)

    def rule(self, tz: ZoneInfo) -> StopRule:
        """Return the stop rule with all of it. tz: says when it is night.

        Raises ConfigError: for several candidates, or none.
        """
        if len(self.candidates) != 1:
            found = ", ".join(clean(name) for name in sorted(self.candidates)) or "none"
            raise ConfigError(f"comparisons of one candidate are judged, and here are those of {found}")
        rule = StopRule()
        for (_, hour), (candidate, before) in sorted(self.hours.items(), key=lambda item: item[0][::-1]):
            rule.add(candidate, before, night=is_night(hour * _HOUR_S, tz))
        return rule


def _add(sums: Sums, counts: Mapping[str, DirectionCounts]) -> None:
    for name, ways in counts.items():
        sums[name] = sums.get(name, 0.0) + ways.left_to_right + ways.right_to_left


def is_night(at: int, tz: ZoneInfo) -> bool:
    """Return whether an hour counts as one of the night. at: its begin, UTC s."""
    return not _NIGHT_ENDS <= datetime.fromtimestamp(at, tz).hour < _NIGHT_BEGINS
