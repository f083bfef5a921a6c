"""Shorten a health message that is larger than the broker takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from edge_app.mqtt.device_messages import Health

_PROBLEM_LENGTH: Final = 80
_TOO_LARGE: Final = re.compile(r"broker refuses (?:\S*/)?traffic/v1/[^/\s]+/[^/\s]+/(\S+) \(Packet too large[^)]*\)")


def fitting(health: Health, fits: Callable[[Health], bool]) -> Health:
    """Return the message, or the longest shorter one that fits; the shortest where none does.

    Figures of the quarter of an hour go first, then sentences: topics of messages that are too large themselves share
    one, then the last of `limits` goes before the others, then `newest_seq`; all other figures stay.
    """
    shorter = health
    for shorter in _ever_shorter(health):
        if fits(shorter):
            break
    return shorter


def _ever_shorter(health: Health) -> Iterator[Health]:
    yield health
    health = health.model_copy(update={"figures": None})
    yield health
    health = health.model_copy(update={"limits": _topics_alone(health.limits)})
    yield health
    for kept in reversed(range(len(health.limits))):
        more = f"and {len(health.limits) - kept} more, which do not fit"
        yield health.model_copy(update={"limits": (*health.limits[:kept], more)})
    short = health.model_copy(update={"limits": (), "source": health.source.model_copy(update={"detail": ""})})
    yield short
    if len(health.problem) > _PROBLEM_LENGTH:
        short = short.model_copy(update={"problem": f"{health.problem[:_PROBLEM_LENGTH]}..."})
        yield short
    short = short.model_copy(update={"problem": ""})
    yield short
    yield short.model_copy(update={"newest_seq": {}})


def _topics_alone(limits: Sequence[str]) -> Sequence[str]:
    """Return the sentences with those on messages that are too large as one, which names their topics."""
    found = {limit: match[1] for limit in limits if (match := _TOO_LARGE.fullmatch(limit))}
    together = [f"too large for the broker: {', '.join(found.values())}"] if found else []
    return (*together, *(limit for limit in limits if limit not in found))
