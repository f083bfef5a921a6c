"""Define the faults that end a command on annotated pictures."""

from __future__ import annotations

from models.common.errors import BuildError


class DataError(BuildError):
    """Nothing usable is left, or the data contradict what was asked; one sentence that says what and where."""


class UsageError(DataError):
    """The command itself is wrong: a folder that does not exist, an output in the way. The exit code is 2."""
