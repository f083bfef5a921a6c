"""Fetch a bundle, whose pieces lie in a file, and be killed at a step: `FOLDER BUNDLE STEP`; STEP "none" for the whole.

Steps: "piece" with the tenth piece, "hash" when all have come, "file" before the second file is unpacked, "sync" and
"rename" before the detector gets its place, "tidy" when it has it.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_app.mqtt.commands import FetchArgs
from edge_app.mqtt.incoming import PIECE
from edge_app.rollout import bundles


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(function: Callable[..., Any], when: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
    """Return the function, which kills the process before it does something where `when` is true."""

    def called(*args: Any, **options: Any) -> Any:
        if when(*args):
            die()
        return function(*args, **options)

    return called


class FromFile:
    """Pieces of a content that is here; `read` as that of Incoming. last: piece that kills; 0 for none."""

    def __init__(self, content: bytes, last: int) -> None:
        self._content, self._last = content, last
        self.of, self.refused = -(-len(content) // PIECE), ""

    def read(self, number: int, _wait_s: float) -> bytes:
        if number == self._last:
            die()
        return self._content[(number - 1) * PIECE : number * PIECE]


def main(folder: Path, bundle: Path, step: str) -> None:
    content = bundle.read_bytes()
    if step == "hash":
        bundles._require_hash = dying(bundles._require_hash)
    elif step == "file":
        Path.write_bytes = dying(Path.write_bytes, lambda path, *_: path.suffix == ".json")  # type: ignore[method-assign]
    elif step == "sync":
        os.sync = dying(os.sync)
    elif step == "rename":
        Path.rename = dying(Path.rename)  # type: ignore[method-assign]
    elif step == "tidy":
        Path.unlink = dying(Path.unlink, lambda path, *_: path.suffix == ".part")  # type: ignore[method-assign]
    args = FetchArgs("", len(content), hashlib.sha256(content).hexdigest())
    pieces: Any = FromFile(content, 10 if step == "piece" else 0)
    print(bundles.Bundles(folder).fetch(args, threading.Event(), pieces).sha256)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
