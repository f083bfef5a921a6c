"""Find the newest state of a training that can be read: a kill or a full disk may have left the last one torn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from models.common.errors import BuildError

_NEWEST: Final = ".index"


def restore(folder: Path, read: Callable[[str], object], show: Callable[[str], None] = print) -> bool:
    """Read the newest state that is whole. Return False when there is none at all.

    folder: of the states. read: reads one, given its path without suffix, and raises whatever is wrong with it.
    show: told when an older one was taken.
    Raises BuildError: when there are states and none can be read.
    """
    states = sorted(folder.glob(f"ckpt-*{_NEWEST}"), key=_number, reverse=True)
    for place, path in enumerate(states):
        try:
            read(str(path.with_suffix("")))
        except Exception as error:  # TensorFlow's own errors have no common class with those of Python
            reason = f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
            continue
        if place:
            show(f"{states[0]} cannot be read ({reason}): going on from {path.with_suffix('').name}.")
        return True
    if states:
        raise BuildError(
            f"No state in {folder} can be read ({reason}). last.npz beside it has the weights of the last validation: "
            "begin another RUN with them (--weights)."
        )
    return False


def _number(path: Path) -> int:
    digits = path.stem.partition("-")[2]
    return int(digits) if digits.isdigit() else -1
