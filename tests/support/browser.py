"""Drive a real browser in tests: Chromium without a window, over its DevTools pipe, without a driver program."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_ANSWER_S = 60.0
_EXEC_ON_3_AND_4 = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
for end, number in zip(ends, (3, 4)):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Program that puts two descriptors on 3 and 4 and becomes the command in its arguments."""


class NavigatedError(AssertionError):
    """The page was loaded anew while a script ran."""


class Browser:
    """A browser with one page of `width` x `height` px.

    touch: input comes from fingers instead of a mouse, as on a phone. flags: further options of Chromium. errors:
    uncaught exceptions of the page.
    """

    def __init__(
        self, folder: Path, width: int = 1280, height: int = 720, *, touch: bool = False, flags: Sequence[str] = ()
    ) -> None:
        assert CHROMIUM
        self._touch, self._last_id, self._buffer = touch, 0, b""
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self._in, self._out = ours_in, ours_out
        # With --remote-debugging-pipe Chromium reads commands from descriptor 3 and writes answers to 4.
        command = [sys.executable, "-c", _EXEC_ON_3_AND_4, str(theirs_in), str(theirs_out), CHROMIUM, "--headless=new"]
        command += ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"]
        command += [*flags, f"--user-data-dir={folder}", "--remote-debugging-pipe", f"--window-size={width},{height}"]
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

    def prefer_theme(self, theme: str) -> None:
        """Ask pages for their light or dark colours."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str, within: float = 90.0) -> Any:
        """Evaluate an expression until it is true, and return its value; fail after `within` seconds."""
        deadline = time.monotonic() + within
        while True:
            with suppress(NavigatedError):
                if value := self.run(script):
                    return value
            assert time.monotonic() < deadline, f"not in time: {script}; {self.errors}"
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """Click an element, once it is there."""
        self.wait_for(f"document.querySelector({json.dumps(selector)}) !== null")
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def type(self, selector: str, text: str) -> None:
        """Replace the text of a field as a person would type it."""
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self._call("Input.insertText", text=text)

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file in a field for files, as a person would."""
        found = self._call("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        self._call("DOM.setFileInputFiles", files=[str(file)], objectId=found["result"]["objectId"])

    def drag(self, *points: tuple[float, float]) -> None:
        """Press at the first point, px of the page, move over the others and release at the last one."""
        self._pointer("down", points[0])
        for before, after in pairwise(points):
            for part in (0.5, 1.0):
                self._pointer("move", tuple(a + (b - a) * part for a, b in zip(before, after, strict=True)))
        self._pointer("up", points[-1])

    def press(self, key: str, *held: str) -> None:
        """Press a key while others are held: Control, Shift."""
        modifiers = sum({"Control": 2, "Shift": 8}[one] for one in held)
        text: dict[str, Any] = {}
        if key == "Enter":  # a button takes it by these alone
            text = {"text": "\r", "windowsVirtualKeyCode": 13}
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, modifiers=modifiers, **text)

    def pinch(self, centre: tuple[float, float], before: float, after: float) -> None:
        """Put two fingers on the page, at first `before` px apart, and move them `after` px apart."""
        (x, y), steps = centre, 4
        for n in range(steps + 1):
            half = (before + (after - before) * n / steps) / 2
            points = [{"x": x - half, "y": y, "id": 0}, {"x": x + half, "y": y, "id": 1}]
            self._call("Input.dispatchTouchEvent", type="touchMove" if n else "touchStart", touchPoints=points)
        self._call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    @property
    def processor_s(self) -> float:
        """Processor time of all processes of the browser since its start, s."""
        first = psutil.Process(self._child.pid)
        times = [process.cpu_times() for process in (first, *first.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        os.close(self._in)
        os.close(self._out)

    def _pointer(self, action: str, point: tuple[float, ...]) -> None:
        x, y = point
        if self._touch:
            kinds = {"down": "touchStart", "move": "touchMove", "up": "touchEnd"}
            points = [] if action == "up" else [{"x": x, "y": y}]
            self._call("Input.dispatchTouchEvent", type=kinds[action], touchPoints=points)
        else:
            kinds = {"down": "mousePressed", "move": "mouseMoved", "up": "mouseReleased"}
            self._call("Input.dispatchMouseEvent", type=kinds[action], x=x, y=y, button="left", buttons=1, clickCount=1)

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Send one command and return its result. session: "" for the browser itself, None for the page."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if session is None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _ANSWER_S
        while True:
            received = self._receive(deadline)
            if received.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(received["params"]["exceptionDetails"]))
            if received.get("id") == self._last_id:
                if "navigated" in received.get("error", {}).get("message", ""):
                    raise NavigatedError(received["error"]["message"])
                assert "error" not in received, received["error"]
                return received["result"]

    def _receive(self, deadline: float) -> Any:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._in, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
