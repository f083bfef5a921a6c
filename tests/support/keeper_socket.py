"""Stand in for systemd where none runs: a socket that starts the configuration keeper, and a `systemctl`."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.paths import ROOT

SYSTEMCTL = """#!{python}
# The few commands of systemctl that are used, for one service: an `edge-app run` that is started again once.
import os, pathlib, signal, subprocess, sys, time
folder = pathlib.Path({folder!r})
words = [word for word in sys.argv[1:] if not word.startswith("-")]
pid_file = folder / "service.pid"

def process():
    try:
        pid = int(pid_file.read_text())
        state = pathlib.Path(f"/proc/{{pid}}/stat").read_text().rpartition(")")[2].split()[0]
        return 0 if state in "ZX" else pid
    except (OSError, ValueError):
        return 0

if words[0] == "restart":
    pid = process()
    if pid:
        os.kill(pid, signal.SIGTERM)
        while process():
            time.sleep(0.05)
    environment = dict(os.environ, STATE_DIRECTORY=str(folder / "state"), PYTHONPATH={root!r})
    with (folder / "service.log").open("wb") as log:
        command = [sys.executable, "-m", "edge_app.cli", "run", "--config", str(folder / "edge-app.toml")]
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True)
    pid_file.write_text(str(child.pid))
elif words[0] == "show":
    ready = process() and "watching" in (folder / "service.log").read_text()
    state = ("active" if ready else "activating") if process() else ("failed" if pid_file.exists() else "inactive")
    print(f"ActiveState={{state}}\\nMainPID={{process()}}")
"""


def systemctl(folder: Path) -> Path:
    """Write a `systemctl` for the service of `folder` and return the folder to put into PATH."""
    programs = folder / "bin"
    programs.mkdir()
    program = programs / "systemctl"
    program.write_text(SYSTEMCTL.format(python=sys.executable, folder=str(folder), root=str(ROOT)))
    program.chmod(0o755)
    return programs


@contextmanager
def keeper(folder: Path, path: Path | None = None, page_user: str | None = None) -> Iterator[Path]:
    """Start the keeper for `folder`/edge-app.toml at each connection, as its .socket unit does; yield the socket.

    path: folder of a `systemctl`. page_user: who may ask; the user of this process by default.
    """
    user = page_user or pwd.getpwuid(os.getuid()).pw_name
    command = [sys.executable, "-m", "edge_app.keeper", "--config", str(folder / "edge-app.toml")]
    command += ["--state", str(folder / "state"), "--unit", "edge-app.service", "--page-user", user]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if path is not None:
        environment["PATH"] = f"{path}:{os.environ['PATH']}"
    place = folder / "keeper.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener, command, environment), daemon=True)
        thread.start()
        yield place
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def _serve(listener: socket.socket, command: Sequence[str], environment: dict[str, str]) -> None:
    children: list[subprocess.Popen[bytes]] = []
    while True:
        try:
            connection = listener.accept()[0]
        except OSError:
            break
        with connection:
            children.append(subprocess.Popen(command, stdin=connection.fileno(), env=environment, cwd="/"))
    for child in children:
        child.wait(60)
