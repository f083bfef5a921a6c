"""Check what the page wants to save, write it, restart the service, and take it back when that does not come up.

Nothing of a request chooses a file, a unit or a program: those are the keeper's own arguments, in its unit.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_app.errors import ConfigError, EdgeAppError, ResourceError
from edge_app.keeper.layer_text import page_layer
from edge_app.keeper.releases import Releases
from edge_app.keeper.unit import Unit
from edge_app.system.files import alone_in, write_atomic
from edge_app.system.layer_version import revision_of, version_of

Reply = dict[str, Any]
_CHECK_S: Final = 60.0
_AUTHOR: Final = re.compile(r"page(, [0-9a-fA-F:.]{2,45})?")


@dataclass(frozen=True, slots=True)
class Keeper:
    """What the keeper works on.

    config: the file of the service. state: its state folder, where it notes the last good configuration. unit: the
    service. user: whom the service runs as, and so the check; None for the keeper's own user. releases: of the device.
    """

    config: Path
    state: Path
    unit: Unit
    user: str | None = None
    clock: Callable[[], float] = time.time
    releases: Releases = field(default_factory=Releases)

    @property
    def layer(self) -> Path:
        """File of the page's layer."""
        return self.config.with_name(f"{self.config.stem}.page.toml")

    def answers(self, request: Mapping[str, Any]) -> Iterator[Reply]:
        """Yield the answers to a request, in which "ok" tells success; the last one is the end of it."""
        kind = request.get("do")
        try:
            if kind == "show":
                yield {"ok": True, **json.loads(self._edge_app("--json"))}
            elif kind == "check":
                self._checked(request, 0)
                yield {"ok": True}
            elif kind == "save":
                with self._alone():
                    yield from self._save(request)
            elif kind == "restart":
                with self._alone():
                    yield from self._restart()
            elif kind == "releases":
                yield {"ok": True, **self.releases.shown()}
            elif kind in ("install", "rollback"):
                with self._alone():
                    yield from self.releases.change(kind)
            else:
                known = '"show", "check", "save", "restart", "releases", "install" or "rollback"'
                yield _no(ConfigError(f"a request is {known}"))
        except (EdgeAppError, OSError) as error:
            yield _no(error)

    def _save(self, request: Mapping[str, Any]) -> Iterator[Reply]:
        before = self.layer.read_bytes() if self.layer.exists() else None
        if request.get("base") != version_of(before):
            raise ConfigError("somebody else has saved meanwhile: load the page again")
        revision = revision_of(before) + 1
        text = self._checked(request, revision)
        state = self.unit.state()
        self._write(text)
        saved = {"revision": revision, "version": version_of(text.encode())}
        yield {"ok": True, "step": "saved", **saved, "restarts": state.active != "inactive"}
        if state.active == "inactive":
            yield {"ok": True, "step": "stopped"}
            return
        try:
            self.unit.restart()
            if self.unit.comes_up(state.pid) and self._is_used(text):
                yield {"ok": True, "step": "counting"}
                return
            problem = "the service did not start with it; its journal says why"
        except ResourceError as error:
            problem = str(error)
        if not state.wanted:  # it did not run before either, so going back mends nothing
            yield {"ok": False, "step": "failed", "problems": [problem]}
            return
        self._put_back(before)
        self.unit.restart()
        back = self.unit.comes_up()
        told = "what was saved before is used again" if back else "it does not start with what was saved before either"
        yield {"ok": False, "step": "undone", "problems": [f"{problem}; {told}"]}

    def _restart(self) -> Iterator[Reply]:
        before = self.unit.state()
        self.unit.restart()
        yield {"ok": True, "step": "restarting"}
        up = self.unit.comes_up(before.pid)
        yield {"ok": True, "step": "counting"} if up else _no("the service did not come back; its journal says why")

    def _checked(self, request: Mapping[str, Any], revision: int) -> str:
        """Return the text of the layer in a request. Raises ConfigError: with every problem that it would bring."""
        author = request.get("author", "page")
        if not isinstance(author, str) or not _AUTHOR.fullmatch(author):
            raise ConfigError('an author is "page, ADDRESS"')
        text = page_layer(request.get("drawing"), revision=revision, author=author, at=self.clock())
        self._edge_app("--try-page", stdin=text)
        return text

    def _edge_app(self, option: str, stdin: str = "") -> str:
        """Run `edge-app config --layers` as the service's user and return what it prints.

        So what was sent is read as TOML, and a configuration is validated, by a program without root's rights.
        """
        isolated = ("-I",) if sys.flags.isolated else ()
        command = (sys.executable, *isolated, "-m", "edge_app.cli", "config", "--layers", str(self.config), option)
        other: dict[str, Any] = {}
        if self.user is not None and os.geteuid() == 0:
            other = {"user": self.user, "group": self.user, "extra_groups": []}
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_CHECK_S,
                cwd="/",
                env=kept | {"STATE_DIRECTORY": str(self.state)},
                **other,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ResourceError(f"the configuration cannot be checked now ({error})") from error
        if done.returncode:
            problems = [line.removeprefix("edge-app: ") for line in done.stderr.splitlines() if line.strip()]
            raise ConfigError(*(problems or [f"the check of the configuration ended with {done.returncode}"]))
        return str(done.stdout)

    def _write(self, text: str) -> None:
        """Write the layer with the group of the configuration, so that the service can read it."""
        write_atomic(self.layer, text, mode=0o640)
        if os.geteuid() == 0:
            os.chown(self.layer, 0, self.config.stat().st_gid)

    def _put_back(self, before: bytes | None) -> None:
        if before is None:
            self.layer.unlink()
        else:
            write_atomic(self.layer, before)

    def _is_used(self, text: str) -> bool:
        """Return whether the service has noted a configuration with this layer as its last good one.

        It starts with an older one where the new one cannot be used, and so it would look well.
        """
        try:
            return base64.b64encode(text.encode()).decode() in (self.state / "last-good.json").read_text("utf-8")
        except OSError:
            return False

    def _alone(self) -> AbstractContextManager[None]:
        """Let one change at a time be made. Raises ResourceError: while another is under way."""
        return alone_in(self.config.parent, ResourceError("another change is under way: try again in a minute"))


def _no(error: object) -> Reply:
    if isinstance(error, OSError) and not isinstance(error, EdgeAppError):
        error = f"the configuration cannot be saved ({error.strerror})"
    problems = error.problems if isinstance(error, ConfigError) else [str(error)]
    return {"ok": False, "step": "refused", "problems": list(problems)}
