"""The faults of this room."""

from __future__ import annotations

import sys
from collections.abc import Callable

from edge_app.errors import EdgeAppError


class BuildError(EdgeAppError, RuntimeError):
    """A detector cannot be built or is not good enough; the message is one sentence for the person who builds."""


class RegistryError(EdgeAppError, RuntimeError):
    """The registry cannot do what was asked; the message is one sentence for the person who asked."""


def exit_code(work: Callable[[], object]) -> int:
    """0 when it was done; 1 when it was not, after one sentence on stderr."""
    try:
        work()
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
