"""A real browser for tests: Chromium without a window, driven through its own DevTools pipe, without any driver."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_ANSWER_S = 20.0
_ON_3_AND_4 = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
for end, place in zip(ends, (3, 4)):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One page of `width` x `height` px. touch: fingers instead of a mouse, as on a phone."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 720, *, touch: bool = False) -> None:
        assert CHROMIUM
        self._touch, self._number, self._rest = touch, 0, b""
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self._in, self._out = ours_in, ours_out
        # The protocol is spoken on the descriptors 3 and 4: --remote-debugging-pipe.
        command = [sys.executable, "-c", _ON_3_AND_4, str(theirs_in), str(theirs_out), CHROMIUM, "--headless=new"]
        command += ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}", "--remote-debugging-pipe", f"--window-size={width},{height}"]
        self._child = subprocess.Popen(
            [*command, "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        targets = self._call("Target.getTargets", session="")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self._call("Target.attachToTarget", session="", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        self.errors: list[str] = []
        self._call("Runtime.enable")
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        if touch:
            self._call("Emulation.setTouchEmulationEnabled", enabled=True)

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str, within: float = 15.0) -> Any:
        """The first value of an expression that is not false."""
        deadline = time.monotonic() + within
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"not in time: {script}; {self.errors}"
            time.sleep(0.05)
        return value

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def type(self, selector: str, text: str) -> None:
        """Replaces what stands in a field, as somebody would type it."""
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self._call("Input.insertText", text=text)

    def stroke(self, *places: tuple[float, float]) -> None:
        """Presses at the first place, in px of the page, goes over the others and lets go at the last one."""
        self._point("down", places[0])
        for before, after in pairwise(places):
            for part in (0.5, 1.0):
                self._point("move", tuple(a + (b - a) * part for a, b in zip(before, after, strict=True)))
        self._point("up", places[-1])

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        os.close(self._in)
        os.close(self._out)

    def _point(self, what: str, place: tuple[float, ...]) -> None:
        x, y = place
        if self._touch:
            kinds = {"down": "touchStart", "move": "touchMove", "up": "touchEnd"}
            points = [] if what == "up" else [{"x": x, "y": y}]
            self._call("Input.dispatchTouchEvent", type=kinds[what], touchPoints=points)
        else:
            kinds = {"down": "mousePressed", "move": "mouseMoved", "up": "mouseReleased"}
            self._call("Input.dispatchMouseEvent", type=kinds[what], x=x, y=y, button="left", buttons=1, clickCount=1)

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _ANSWER_S
        while True:
            heard = self._hear(deadline)
            if heard.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(heard["params"]["exceptionDetails"]))
            if heard.get("id") == self._number:
                assert "error" not in heard, heard["error"]
                return heard["result"]

    def _hear(self, deadline: float) -> Any:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._in, 1 << 16)
            assert part, "the browser has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
