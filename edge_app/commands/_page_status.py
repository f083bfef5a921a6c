"""Answer the local page's requests for the state of the service, its history and its restart."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from datetime import date, timezone, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from edge_app.errors import PreviewError

if TYPE_CHECKING:
    from edge_app.config.model import Config

_RESTART_S: Final = 60.0
_LIVE_WIDTH: Final = 960
_DAY_S: Final = 86_400.0


class StatusPage:
    """State, history and restart of the service that uses the state folder of `config`.

    Any thread may call. file: of the configuration, which names the unit. own_picture: returns a picture where no
    service runs, as JPEG; raises PreviewError without one.
    """

    def __init__(self, file: Path, config: Callable[[], Config], own_picture: Callable[[int], bytes]) -> None:
        from edge_app.storage.past_intervals import PastIntervals
        from edge_app.web.history import History

        self._file, self._unit = file, unit_of(file)
        self._hashed: tuple[Config | None, str] = (None, "")
        self._config, self._own_picture = config, own_picture
        self._zone = zone_of(config())
        self._lock = threading.Lock()
        self._past, self._history = PastIntervals(config().store.folder), History(self._zone)

    def live(self) -> bytes:
        """Return what the service sees, with boxes and lines drawn into it, as JPEG. Raises PreviewError."""
        from edge_app.preview.snapshot_socket import request_snapshot

        picture = request_snapshot(self._config().store.folder, annotated=True, width=_LIVE_WIDTH)
        return self._own_picture(_LIVE_WIDTH) if picture is None else picture

    def status(self, _: Any) -> dict[str, Any]:
        """Return the state of the service, null where none runs, and how it is restarted."""
        from edge_app.preview.snapshot_socket import request_status

        config = self._config()
        told, problem = None, ""
        try:
            answer = request_status(config.store.folder)
            told = None if answer is None else json.loads(answer)
        except (PreviewError, ValueError) as error:
            problem = str(error)
        return {
            "status": told,
            "problem": problem,
            "newer": "" if told is None else self._newer(config, str(told.get("config", ""))),
            "site": config.device.site,
            "device": config.device.device,
            "zone": str(self._zone),
            "now": round(time.time() * 1000),
            "command": self._command,
        }

    def _newer(self, config: Config, running: str) -> str:
        """Return the hash of the present configuration where the service still runs another one, "" where not."""
        from edge_app.commands._present import present_hash

        if self._hashed[0] is not config:
            self._hashed = config, present_hash(self._file)[: len(running)]
        present = self._hashed[1]
        return "" if present == running else present

    def history(self, _: Any) -> dict[str, Any]:
        """Return the bins of the charts by line. Raises StoreError when the state folder cannot be read."""
        config, now = self._config(), time.time()
        with self._lock:
            self._read_new(now)
            names = {line.id: line for line in config.lines}
            return {
                "lines": [
                    {
                        "id": line,
                        "configured": line in names,
                        "name": (names[line].road if line in names else None) or line,
                        "directions": names[line].names if line in names else {},
                        **self._history.charts(line, now),
                    }
                    for line in dict.fromkeys([*names, *self._history.lines])
                ]
            }

    def day(self, values: Any) -> tuple[str, bytes]:
        """Return name and content of a CSV file with the counts of one day: as `count --csv`, and the quality flags.

        values: `date` as 2026-11-30, `minutes` one of MINUTES. Raises PreviewError for others.
        """
        from edge_app.offline.bins import HEADER, MINUTES, csv_text
        from edge_app.web.history import SPEED_COLUMNS, day_rows

        config = self._config()
        try:
            day, minutes = date.fromisoformat(values.get("date", "")), int(values.get("minutes", "15"))
            begin, end = self._history.bounds(day)
        except (ValueError, OverflowError) as error:
            raise PreviewError("the day must be given as 2026-11-30, and minutes as a number") from error
        if minutes not in MINUTES:
            raise PreviewError(f"minutes must be one of {', '.join(map(str, MINUTES))}")
        names = {line.id: {str(way): name for way, name in line.names.items()} for line in config.lines}
        with self._lock:
            intervals = self._past.between(begin, end, time.time())
        rows = list(day_rows(intervals, (begin, end), minutes, self._zone, names))
        columns: tuple[str, ...] = (*HEADER, "quality")
        if rows and len(rows[0]) > len(columns):
            columns = (*columns, *SPEED_COLUMNS)
        text = csv_text(rows, columns)
        return f"{config.device.site}-{config.device.device}-{day}.csv", text.encode()

    def restart(self, _: Any) -> dict[str, Any]:
        """Restart the service. Raises PreviewError, with the command to type, when this user may not."""
        systemctl = shutil.which("systemctl")
        wrong = f"this page may not restart the service; type: {self._command}"
        if systemctl is None:
            raise PreviewError(wrong)
        command = [systemctl, "--no-ask-password", "restart", self._unit]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_RESTART_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PreviewError(wrong) from error
        if done.returncode:
            raise PreviewError(wrong)
        return {"restarted": True}

    @property
    def _command(self) -> str:
        return f"sudo systemctl restart {self._unit}"

    def _read_new(self, now: float) -> None:
        from edge_app.web.history import LONGEST_DAYS, History

        anew, intervals = self._past.new(now - (LONGEST_DAYS + 1) * _DAY_S, now)
        if anew:
            self._history = History(self._zone)
        for interval in intervals:
            self._history.add(interval)
        self._history.forget(now)
        self._history.set_open(self._past.open_crossings())


def unit_of(file: Path) -> str:
    """Return the systemd unit of the service with this configuration file: one camera, or one of several."""
    return "edge-app" if file.stem == "edge-app" else f"edge-app@{file.stem}"


def zone_of(config: Config) -> tzinfo:
    """Return the time zone of the device."""
    return timezone.utc if config.device.time_zone == "UTC" else ZoneInfo(config.device.time_zone)


def paths(page: StatusPage) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
    """Return the paths of these answers, for GET, POST and files."""
    get = {"/status": page.status, "/history": page.history}
    return get, {"/restart": page.restart}, {"/day.csv": page.day}
