"""Define the faults that end a command of models, and turn them into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable

from edge_app.errors import EdgeAppError


class BuildError(EdgeAppError, RuntimeError):
    """A detector cannot be built, trained or evaluated. The message is one sentence for the person at the keyboard."""


class RegistryError(EdgeAppError, RuntimeError):
    """The registry cannot do what was asked. The message is one sentence for the person at the keyboard."""


class LineageError(EdgeAppError, RuntimeError):
    """A record of ancestors cannot be used. The message completes "FILE cannot be used: ..."."""


def exit_code(work: Callable[[], object]) -> int:
    """Run the work of a command. Return 0, or print the sentence of an EdgeAppError to stderr and return 1."""
    try:
        work()
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
