"""`edge-app serve` as a process of its own, for the trials."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from edge_app.serve.access import new_token
from edge_app.serve.client import Client
from tests.support.paths import ROOT


@dataclass(frozen=True, slots=True)
class Program:
    """A running service. tokens: by the name of their client; none where it was started without."""

    process: psutil.Process
    url: str
    tokens: dict[str, str]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, name: str = "", **settings: float) -> Client:
        """Return a client of the service; name: of its token."""
        return Client(self.url, self.tokens.get(name, ""), timeout_s=settings.get("timeout_s", 120.0))

    def rss_mb(self) -> float:
        """Return the memory that the process holds, 10^6 bytes."""
        return float(self.process.memory_info().rss) / 1e6


@contextmanager
def program(*options: str, clients: tuple[str, ...] = ()) -> Iterator[Program]:
    """Run a service on a free port within the context, until it is ready. clients: who gets a token for all scopes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = {name: new_token(name, ["predict", "counts", "metrics"]) for name in clients}
        command = [sys.executable, "-m", "edge_app.cli", "serve", "--port", "0", "--folder", str(folder / "serve")]
        if made:
            (folder / "tokens").write_text("".join(f"{line}\n" for _, line in made.values()))
            command += ["--tokens", str(folder / "tokens")]
        process = psutil.Popen([*command, *options], stderr=subprocess.PIPE, text=True, cwd=ROOT)
        try:
            yield Program(process, _url(process), {name: token for name, (token, _) in made.items()})
        finally:
            with suppress(psutil.NoSuchProcess):  # a trial has ended it already
                process.terminate()
            process.communicate()


def _url(process: psutil.Popen) -> str:
    """Return the address that a service tells in its log. Raises OSError: when it ends before."""
    log: list[str] = []
    for line in process.stderr:
        log.append(line)
        if found := re.search(r"http://[\w.:]+:\d+", line):
            return found[0]
    raise OSError(f"the service has ended: {''.join(log)[-500:]}")
