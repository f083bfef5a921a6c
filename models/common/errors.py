"""Define the faults that end a command of models, and turn them into exit codes."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path

from edge_app.errors import EdgeAppError


class BuildError(EdgeAppError, RuntimeError):
    """A detector cannot be built, trained or evaluated. The message is one sentence for the person at the keyboard."""


class RegistryError(EdgeAppError, RuntimeError):
    """The registry cannot do what was asked. The message is one sentence for the person at the keyboard."""


class LineageError(EdgeAppError, RuntimeError):
    """A record of ancestors cannot be used. The message completes "FILE cannot be used: ..."."""


def system_sentence(error: OSError, place: Path | None) -> str:
    """Return what the system refused as one sentence. place: what was written, for an error that names no file.

    A disk that is full is found while writing, where the system does not say in which file.
    """
    name = error.filename or place or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of {name} is full: free space there, and give the same command again."
    return f"{name} cannot be used: {(error.strerror or str(error)).lower()}."


def exit_code(work: Callable[[], object]) -> int:
    """Run the work of a command. Return 0, or print the sentence of an EdgeAppError to stderr and return 1."""
    try:
        work()
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
