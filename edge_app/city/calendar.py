"""Find the steps of a site's own time: hours, days and months where it lies. Pure: no clock, no I/O.

A day has 23 or 25 hours where clocks are changed, and hours begin at half past where the offset has half an hour: steps
are found in local time and told as UTC seconds, never counted in seconds. Where clocks are changed by half an hour, the
hour in which that happens is cut there: no time is in two steps of a kind.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import cache, lru_cache
from typing import Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from edge_app.errors import ConfigError

Step: TypeAlias = Literal["hour", "day", "month"]
STEPS: Final[tuple[Step, ...]] = get_args(Step)
FAR: Final = 32_503_680_000
"""The year 3000: times of intervals and of the inventory lie between 1970 and then."""
_HOUR_S: Final = 3600


def moment(at: float) -> datetime:
    """Return UTC seconds as a time."""
    return datetime.fromtimestamp(at, timezone.utc)


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name. Raises ConfigError: when there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _unknown(name) from None


@cache
def _named() -> frozenset[str]:
    return frozenset(available_timezones() - {"Factory", "localtime"})


def judge_zone(name: str) -> None:
    """Raise ConfigError for no name of IANA: a machine has files of others (posix/..., right/...) that no browser has.

    Sites of a city that has such a one already are added up by it: `zone` returns it.
    """
    if name not in _named():
        raise _unknown(name)


def _unknown(name: str) -> ConfigError:
    shown = name[:60].encode("utf-8", "backslashreplace").decode()  # perhaps with half a character
    return ConfigError(f'time_zone: there is no "{shown}"; give an IANA name such as Europe/Berlin')


def step_around(at: int, step: Step, tz: ZoneInfo) -> tuple[int, int]:
    """Return begin and end of the step that contains a time, UTC s."""
    local = datetime.fromtimestamp(at, tz)
    if step == "hour":
        begin = at - local.minute * 60 - local.second
        last = begin + _HOUR_S - 1
        same = [_offset(begin, tz) == local.utcoffset(), _offset(last, tz) == local.utcoffset()]
        return begin if same[0] else _change(begin, at, tz), last + 1 if same[1] else _change(at, last, tz)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    if step == "day":
        return _utc(day, tz), _utc(day + timedelta(days=1), tz)
    first = day.replace(day=1)
    return _utc(first, tz), _utc((first + timedelta(days=32)).replace(day=1), tz)


@lru_cache(2**14)  # the quarters of like days before, which are the same at all streets of a zone
def clock_second(at: int, tz: ZoneInfo) -> int:
    """Return the second of the day that a clock shows there: the same one twice where an hour is there twice.

    at: UTC s. By it days are compared: where clocks are changed, seconds since midnight are another time of the day.
    """
    local = datetime.fromtimestamp(at, tz)
    return local.hour * 3600 + local.minute * 60 + local.second


@lru_cache(2**14)
def offset_s(at: int, tz: ZoneInfo) -> int:
    """Return how many seconds clocks are ahead of UTC. at: UTC s."""
    ahead = _offset(at, tz)
    return int(ahead.total_seconds()) if ahead else 0


def _offset(at: int, tz: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(at, tz).utcoffset()


def _change(low: int, high: int, tz: ZoneInfo) -> int:
    """Return the first second with the offset of `high`, which is another one than that of `low`."""
    new = _offset(high, tz)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset(middle, tz) == new else (middle, high)
    return high


def _utc(wall: datetime, tz: ZoneInfo) -> int:
    return int(wall.replace(tzinfo=tz).timestamp())
