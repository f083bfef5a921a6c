"""Answer one request of the page on the socket that is stdin: systemd starts one process for each connection.

A request is one line of JSON, each answer another. Only the page's user and root are answered (SO_PEERCRED, unix(7)).
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

from edge_app.keeper.saving import Keeper
from edge_app.keeper.unit import Unit

_LONGEST: Final = 262_144
_REQUEST_S: Final = 5.0


def main() -> int:
    """Return 0 when a request was answered, 1 when there was none to answer."""
    parser = argparse.ArgumentParser(prog="edge-app-keeper", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="configuration file of the service")
    parser.add_argument("--state", type=Path, required=True, help="its state folder")
    parser.add_argument("--unit", required=True, help="its unit")
    parser.add_argument("--user", help="whom it runs as")
    parser.add_argument("--page-user", required=True, help="who may ask")
    arguments = parser.parse_args()
    keeper = Keeper(arguments.config, arguments.state, Unit(arguments.unit), arguments.user)
    with socket.socket(fileno=os.dup(0)) as page:
        peer = _uid(page)
        if peer not in (0, _uid_of(arguments.page_user)):
            _log(f"user {peer} has asked and was refused")
            return 1
        request = _request(page)
        if request is None:
            _log("no request has come, or none that is one line of JSON")
            return 1
        _answer(page, keeper, request)
    return 0


def _answer(page: socket.socket, keeper: Keeper, request: dict[str, Any]) -> None:
    """Send the answers; a page that has gone must not stop a change that has begun."""
    for answer in keeper.answers(request):
        if request.get("do") not in ("show", "check", "releases"):
            _log(f"{request.get('do')}: {json.dumps(answer)}")
        try:
            page.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            continue


def _request(page: socket.socket) -> dict[str, Any] | None:
    received, end = b"", time.monotonic() + _REQUEST_S
    try:
        while b"\n" not in received and len(received) < _LONGEST and time.monotonic() < end:
            page.settimeout(max(0.1, end - time.monotonic()))
            part = page.recv(65_536)
            if not part:
                break
            received += part
        request = json.loads(received.partition(b"\n")[0])
    except (OSError, ValueError, RecursionError):
        return None
    page.settimeout(_REQUEST_S)
    return request if isinstance(request, dict) else None


def _uid(page: socket.socket) -> int:
    size = struct.calcsize("3i")
    _pid, uid, _gid = struct.unpack("3i", page.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)


def _uid_of(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _log(text: str) -> None:
    print(f"edge-app-keeper: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
