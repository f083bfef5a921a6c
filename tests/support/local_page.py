"""Open the local page of `edge-app lines` in a real browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.support.browser import Browser

_AXE = Path(os.environ.get("EDGE_APP_AXE", f"{sys.prefix}/share/axe.min.js"))
AXE = _AXE if _AXE.exists() else None
"""axe-core, which judges how well people can use a page; None where it is not installed."""

BEGINS_S = _ENDS_S = 60.0
"""Longest time for the program to begin, and to end, on a busy machine."""


def violations(browser: Browser) -> list[Any]:
    """Return what axe-core finds wrong with a page as it is now: rule and elements."""
    assert AXE
    browser.run(f"{AXE.read_text('utf-8')};0")
    found = "axe.run(document).then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
    return list(browser.run(found))


class LocalPage:
    """`edge-app lines` in a process of its own, with its page open in a browser.

    view: lines or status. folder: for the browser's profile. environment: more variables of the process.
    """

    def __init__(
        self,
        config: Path,
        folder: Path,
        *,
        view: str = "lines",
        size: tuple[int, int] = (1280, 800),
        touch: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        with ExitStack() as stack:
            command = (sys.executable, "-m", "edge_app.cli", "lines", "--config", str(config))
            environ = {**os.environ, **(environment or {})}
            self._child = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ))
            stack.callback(self._child.kill)
            assert self._child.stdout is not None
            self.url = self._child.stdout.readline().split()[-1]
            self.browser = Browser(folder, *size, touch=touch)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.callback(self.browser.close)
            self.browser.open(f"{self.url}#{view}")
            self.browser.wait_for("document.getElementById('language')?.options.length", BEGINS_S)
            if view == "lines":
                self.wait_for_picture()
            self._stack = stack.pop_all()

    def wait_for_picture(self) -> None:
        """Wait until there is a picture to draw on."""
        self.browser.wait_for("document.getElementById('waiting')?.hidden", BEGINS_S)

    def show(self, view: str) -> None:
        self.browser.run(f"location.hash = '{view}'")

    def draw(self, *points: tuple[float, float]) -> None:
        """Drag over points in 0..1 of the picture; one point alone is tapped."""
        sheet = "document.getElementById('sheet').getBoundingClientRect()"
        x, y, width, height = self.browser.run(f"(() => {{const r = {sheet}; return [r.x, r.y, r.width, r.height]}})()")
        self.browser.drag(*[(x + width * a, y + height * b) for a, b in points])

    def tool(self, name: str) -> None:
        self.browser.click(f"[data-tool={name}]")

    def save(self) -> None:
        self.browser.wait_for("!document.getElementById('save').disabled", BEGINS_S)
        self.browser.click("#save")
        self.browser.wait_for("document.getElementById('saved').className === 'good'")

    def text(self, selector: str) -> str:
        return str(self.browser.run(f"document.querySelector('{selector}').innerText"))

    def violations(self) -> list[Any]:
        return violations(self.browser)

    def __enter__(self) -> LocalPage:
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            errors = self.browser.errors
            self._child.terminate()
            assert self._child.wait(_ENDS_S) == 0
        assert not errors
