"""Ask the configuration keeper: what is configured, whether a drawing is valid, to save it, to restart the service."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from edge_app.errors import ConfigError, ResourceError

_FIRST_S: Final = 90.0
"""Longest wait for an answer: a check on a slow device, or a start that is waited for twice."""
_NEXT_S: Final = 300.0


def ask(keeper: Path, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the keeper's answers to a request. keeper: its socket.

    Raises ConfigError: with the problems of a request that it refuses. Raises ResourceError: when it does not answer.
    """
    wait_s = _FIRST_S
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(5.0)
            sock.connect(str(keeper))
            sock.sendall(json.dumps(request).encode() + b"\n")
            sock.settimeout(wait_s)
            with sock.makefile("rb") as stream:
                for line in stream:
                    answer = json.loads(line)
                    if answer.get("step") == "refused":
                        raise ConfigError(*answer["problems"])
                    yield answer
                    sock.settimeout(_NEXT_S)
                    wait_s = 0.0
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        why = f"{keeper}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
        raise ResourceError(
            f"the configuration cannot be saved or read now, the keeper does not answer ({why})", code="no_keeper"
        ) from error
    if wait_s:
        raise ResourceError(
            "the configuration keeper has ended without an answer: its journal says why", code="no_keeper"
        )
