"""Ask systemd about units, and run a command in the sandbox of one: as its user, with its devices and credentials."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from edge_app.errors import ResourceError

_BOOTED: Final = Path("/run/systemd/system")
"""Exists where systemd runs the machine. Source: sd_booted(3)."""
_OWN: Final = re.compile(
    r"Type|Exec\w+|Restart\w*|SuccessExitStatus|Watchdog\w+|Timeout\w+|NotifyAccess|Standard\w+|OOMPolicy|KillMode"
)
"""Settings of a service that say how it is started, kept and stopped, not what it may do."""
_SECONDS: Final = 10.0
_COMMAND_S: Final = 120.0


def systemctl(*arguments: str) -> str:
    """Run systemctl and return what it prints. Raises ResourceError: when it cannot be run, or does not do it."""
    told = f"systemctl {arguments[0]} {arguments[-1]}"
    try:
        done = subprocess.run(
            ("systemctl", "--no-pager", *arguments),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ResourceError(f"{told} cannot be run ({error})") from error
    if done.returncode and arguments[0] != "reset-failed":
        why = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        raise ResourceError(f"{told} failed: {why[0]}")
    return done.stdout


def installed_unit(name: str) -> str:
    """Return the text of a unit with its drop-ins as systemd knows it; "" where there is none, or no systemd."""
    if not _BOOTED.is_dir() or not shutil.which("systemctl") or not shutil.which("systemd-run"):
        return ""
    try:
        done = subprocess.run(("systemctl", "cat", name), capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def user_of(unit: str) -> str:
    """Return the user that a unit runs as."""
    users = [value for key, value in _settings(unit) if key == "User" and value]
    return users[-1] if users else "root"


def sandboxed(unit: str, instance: str, name: str, command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` within the sandbox of a unit, connected to this terminal.

    unit: text of the unit. instance: what %i stands for in it. name: of the passing unit that systemd makes.
    """
    properties = [f"--property={key}={_expanded(value, instance)}" for key, value in _settings(unit)]
    environment = [f"--setenv={name}={os.environ[name]}" for name in ("TERM", "LANG", "NO_COLOR") if name in os.environ]
    options = ("--quiet", "--pipe", "--wait", "--collect", "--service-type=exec", f"--unit={name}")
    return ["systemd-run", *options, *properties, *environment, "--", *command]


def _settings(unit: str) -> Iterator[tuple[str, str]]:
    """Yield key and value of each setting in [Service] that says what the service may do, in order."""
    section = ""
    for line in re.sub(r"\s*\\\n\s*", " ", unit).splitlines():
        if line.startswith("["):
            section = line.strip()
        key, is_setting, value = line.partition("=")
        if section == "[Service]" and is_setting and line[0] not in "#;" and not _OWN.fullmatch(key.strip()):
            yield key.strip(), value.strip()


def _expanded(value: str, instance: str) -> str:
    return value.replace("%%", "\0").replace("%i", instance).replace("%I", instance).replace("\0", "%")
