"""Say who asks, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Right(IntEnum):
    """What somebody may do; each includes those before."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. name: for the audit."""

    name: str
    right: Right


NOBODY = Caller("", Right.NONE)
HERE = Caller("this machine", Right.ADMIN)
"""Whoever is on the machine of a city without users."""
