"""A box at the road: service, keeper, reader and page, each a process of its own, without systemd."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.support.keeper_socket import keeper, systemctl
from tests.support.paths import ROOT

PASSWORD = "correct horse battery"
_TOML = """[device]
site = "harbour"
device = "pole-7"
[source]
kind = "street"
[mqtt]
port = 1
[page]
port = {port}
[counting]
interval_s = 10
"""


class Box:
    """A device in `folder`, running within the context. port: of its page."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "edge-app.toml"
        self._stack, self._environment = ExitStack(), {**os.environ, "PYTHONPATH": str(ROOT)}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        (folder / "state").mkdir()
        self.config.write_text(_TOML.format(port=self.port))
        self._run("page", "--password", "--config", str(self.config), text=f"{PASSWORD}\n")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/"

    def __enter__(self) -> Box:
        programs = systemctl(self.folder)
        self._stack.callback(self._kill_service)
        subprocess.run((str(programs / "systemctl"), "restart", "edge-app"), env=self._environment, check=True)
        place = self._stack.enter_context(keeper(self.folder, programs))
        reader = self.folder / "reader.sock"
        common = ("--config", str(self.config), "--state", str(self.folder / "state"))
        sockets = ("--keeper", str(place), "--reader-socket", str(reader))
        self._start("page", "--reader", *common, *sockets)
        page = self._start("page", *common, *sockets)
        assert page.stderr is not None
        for line in page.stderr:
            if b'"message": "page"' in line:
                return self
        raise AssertionError("the page has ended")

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", "edge_app.cli", *arguments)
        environment = {**self._environment, "STATE_DIRECTORY": str(self.folder / "state")}
        child = self._stack.enter_context(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE))
        self._stack.callback(child.terminate)
        return child

    def _run(self, *arguments: str, text: str) -> None:
        command = (sys.executable, "-m", "edge_app.cli", *arguments)
        subprocess.run(command, env=self._environment, input=text, text=True, check=True, stdout=subprocess.DEVNULL)

    def _kill_service(self) -> None:
        os.kill(int((self.folder / "service.pid").read_text()), signal.SIGKILL)
