"""Say when so many devices stray that what they were given is at fault, and no street. Pure: no clock, no I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

_MOST_NAMED: Final = 3


def too_many(
    strays: Mapping[str, str], group_of: Mapping[str, int], least: Callable[[int], int], words: str
) -> Sequence[str]:
    """Return one sentence when too many devices stray: of all, or of a group.

    strays: device -> how. group_of: all that are judged -> number of the group, from 0. least: returns how many of so
    many are too many. words: what they do.
    """
    for where, names in _parts(group_of):
        found = [f"{name} {strays[name]}" for name in sorted(names) if name in strays]
        if len(found) >= least(len(names)):
            head = f"of {len(names)} devices{where} {len(found)} {words}"
            return ("; ".join([head, *found[:_MOST_NAMED]]),)
    return ()


def least_above(devices: int, share: float) -> int:
    """Return the least number of devices that is more than a share of them, and more than one."""
    return max(1, math.floor(share * devices)) + 1


def least_by_chance(devices: int, each: float, false: float) -> int:
    """Return the least number of devices, two at least, that stray with a probability of at most `false`.

    each: probability with which one strays, whatever the others do.
    """
    beyond, many = 1.0, 0
    while many < 2 or beyond > false:
        beyond -= math.comb(devices, many) * each**many * (1 - each) ** (devices - many)
        many += 1
    return many


def _parts(group_of: Mapping[str, int]) -> Iterator[tuple[str, Collection[str]]]:
    """Yield all devices, and those of each group, with words for them."""
    yield "", group_of.keys()
    for group in sorted(set(group_of.values())):
        yield f" of group {group + 1}", [name for name, number in group_of.items() if number == group]
