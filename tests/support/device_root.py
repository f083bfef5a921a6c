"""A device on which the installer may work: folders of a test mounted over those of the system, and stand-ins.

`systemctl` is stood in for by a script that tells how the cameras of a release behave, `python3` by one that makes an
environment at once, and the clock by a file that `sleep` moves on. What checks a release that was sent is run by the
real interpreter. All of it is gone with the mount namespace.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.paths import ROOT

_PYTHON = """#!/bin/sh
case "$*" in
*sysconfig*) cat /run/fake/processor ;;
*"import cv2"*) [ -e /run/fake/opencv ] ;;
*" -V" | *--version) echo "Python 3.11.2" ;;
*unpack.py*) exec /run/fake/real "$@" ;;
*order_check*)
    shift 3
    exec /run/fake/real -I -c "import runpy, sys
sys.path[:0] = sys.argv[1:3]
del sys.argv[1:3]
runpy.run_module('edge_app.commands._order_check', run_name='__main__')" $(cat /run/fake/packages) "$@" ;;
*" -m venv "*)
    for folder; do :; done
    mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python"
    printf '#!/bin/sh\\necho edge-app 0.1.0\\n' >"$folder/bin/edge-app" && chmod +x "$folder/bin/edge-app" ;;
*" -m pip "*) case $(cat /run/fake/no-pip 2>/dev/null || echo none) in none) ;; kill) kill -9 0 ;; *) exit 1 ;; esac ;;
esac
"""
_SLEEP = """#!/bin/sh
read -r now rest </proc/uptime
now=${now%.*}
echo "$((now + $1 * $(cat /run/fake/faster 2>/dev/null || echo 1))).00 0" >/proc/uptime
[ -e /run/fake/power-cut ] && [ "$now" -ge "$(cat /run/fake/power-cut)" ] && rm /run/fake/power-cut && kill -9 $PPID
true
"""
_SYSTEMCTL = """#!/bin/sh
# A camera behaves as the unit of its release says: counts, blind, crashes, late, refuses, bad.
echo "$*" >>/run/fake/calls
read -r now rest </proc/uptime
now=${now%.*}
command=$1
shift
started() { read -r life begin release <"/run/fake/life-$1"; }
start() {
    n=$(($(cat /run/fake/lives) + 100))
    echo $n >/run/fake/lives
    echo "$n $now $(readlink /opt/edge-app/current)" >"/run/fake/life-$1"
}
shown() {
    load=loaded active=active sub=running result=success status=0 ping=0 broker=connected closed=$((now / 60))
    if ! [ -e "/run/fake/life-$1" ]; then active=inactive sub=dead life= begin=0; return; fi
    started "$1"
    for_s=$((now - begin))
    case $(sed -n "s/^# behaviour $1 //p" "$release/systemd/edge-app.service") in
    blind) ;;
    crashes) period 2 7 ;;
    late) period 30 35; [ "$sub" != running ] || ping=1 ;;
    refuses) active=failed sub=failed result=exit-code status=2 ;;
    bad) load=bad-setting active=inactive sub=dead ;;
    unheard) [ $for_s -lt 6 ] || ping=1; broker="not connected" ;;
    stuck) [ $for_s -lt 6 ] || ping=1; closed=$((begin / 60)) ;;
    empty) [ $for_s -lt 6 ] || ping=1; closed=$((for_s / 60)) ;;
    *) [ $for_s -lt 6 ] || ping=1 ;;
    esac
}
period() {
    life=$((life + for_s / $2)) begin=$((begin + for_s / $2 * $2))
    [ $((for_s % $2)) -lt $1 ] || active=activating sub=auto-restart result=exit-code status=1
}
for unit; do :; done
case $command in
show)
    shown "$unit"
    echo "LoadState=$load"; echo "ActiveState=$active"; echo "SubState=$sub"; echo "Result=$result"
    echo "InvocationID=$life"; echo "ExecMainStatus=$status"
    echo "StatusText=counting, 9.0 frames/s; broker $broker, 0 unsent; $closed intervals of 60 s"
    echo "ExecMainStartTimestampMonotonic=${begin}000000"
    echo "WatchdogTimestampMonotonic=$(((begin + ping * 6) * 1000000))" ;;
list-units) for file in /run/fake/life-*; do [ ! -e "$file" ] || echo "${file#*life-} loaded active"; done ;;
enable)
    for name; do
        case $name in
        edge-app*.service) ln -sfn "/usr/local/lib/systemd/system/$name" /etc/systemd/system/multi-user.target.wants/ ;;
        esac
    done ;;
disable) for name; do rm -f "/run/fake/life-$name" "/etc/systemd/system/multi-user.target.wants/$name"; done ;;
restart) for name; do case $name in edge-app.service | edge-app@*) start "$name" ;; esac; done ;;
start) [ "$unit" != edge-app-probation.service ] || sh /opt/edge-app/probation/install.sh judge || true ;;
is-active) exit 1 ;;
esac
"""
_MOUNT = """
set -e
for folder in etc opt run var/lib usr/local; do mount --bind "$0/$folder" "/$folder"; done
for program in python3 sleep systemctl; do mount --bind "$0/fake/$program" "$(readlink -f /usr/bin/$program)"; done
mount --bind "$0/uptime" /proc/uptime
for program in $(ls "$0/steps"); do mount --bind "$0/steps/$program" "$(readlink -f /usr/bin/$program)"; done
exec "$@"
"""


_STEP = """#!/bin/sh
read -r n </run/fake/step
n=$((n + 1))
echo $n >/run/fake/step
[ $n != "$(cat /run/fake/power-cut-at)" ] || kill -9 0
exec "/run/fake/bin/${0##*/}" "$@"
"""
_CHANGING = ("cp", "head", "ln", "mkdir", "mv", "openssl", "rm", "sync", "touch")
"""Programs that are a step each: what the installer changes, it changes with them."""


_ETC = ("passwd", "group", "shadow", "gshadow", "login.defs", "nsswitch.conf", "ld.so.cache")


class Device:
    """Device with the installer's archive `NAME` in /opt/NAME after `archive(NAME)`."""

    def __init__(self, folder: Path) -> None:
        self._settle(folder)
        for name in ("opt", "run/systemd/system", "run/fake/bin", "var/lib", "usr/local", "fake", "steps"):
            (folder / name).mkdir(parents=True)
        (folder / "etc").mkdir()
        for name in _ETC:
            shutil.copy(Path("/etc", name), folder / "etc")
        self.wants.mkdir(parents=True, exist_ok=True)
        for name, text in (("python3", _PYTHON), ("sleep", _SLEEP), ("systemctl", _SYSTEMCTL)):
            (folder / "fake" / name).write_text(text)
            (folder / "fake" / name).chmod(0o755)
        (folder / "uptime").write_text("1000.00 0")
        self.fake("lives", "100")
        self.fake("processor", "x86_64 3.11\n")
        self.fake("packages", f"{ROOT} {sysconfig.get_path('purelib')}")
        shutil.copy(Path(sys.executable).resolve(), folder / "run/fake/real")

    def _settle(self, folder: Path) -> None:
        self.folder = folder
        self.wants = folder / "etc/systemd/system/multi-user.target.wants"
        self.units = folder / "usr/local/lib/systemd/system"

    def copy(self, folder: Path) -> Device:
        """Return a device in another folder that is in the same state."""
        shutil.copytree(self.folder, folder, symlinks=True)
        device = Device.__new__(Device)
        device._settle(folder)
        return device

    def fake(self, name: str, text: str) -> None:
        """Tell the stand-ins something."""
        (self.folder / "run/fake" / name).write_text(text)

    def cut_power_at(self, step: int) -> None:
        """Have the power cut before a step of the installer; 0 for never. Steps are counted from 1 on from here."""
        self.fake("step", "0")
        self.fake("power-cut-at", f"{step}\n")
        for name in _CHANGING:
            shutil.copy(str(shutil.which(name)), self.folder / "run/fake/bin")
            (self.folder / "steps" / name).write_text(_STEP)
            (self.folder / "steps" / name).chmod(0o755)

    def archive(self, name: str, **behaviour: str) -> Path:
        """Make an unpacked archive in /opt/NAME. behaviour: of cameras ("first", or names) with this release."""
        folder = self.folder / "opt" / name
        (folder / "wheels").mkdir(parents=True)
        shutil.copytree(ROOT / "systemd", folder / "systemd")
        for script in ("install.sh", "releases.sh", "slim.py", "unpack.py"):
            shutil.copy(ROOT / "deploy" / script, folder)
        (folder / "processor").write_text("x86_64\n")
        (folder / "pythons").write_text("3.11 3.13\n")
        with (folder / "systemd/edge-app.service").open("a") as unit:
            unit.write(f"# of {name}\n")
            unit.writelines(f"# behaviour {_unit(camera)} {what}\n" for camera, what in behaviour.items())
        sums = "find . -type f ! -name SHA256SUMS -exec sha256sum {} + >../sums && mv ../sums SHA256SUMS"
        subprocess.run(("sh", "-c", sums), cwd=folder, check=True)
        return folder

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the device, in a process group of its own: a power cut kills it."""
        enter = ("unshare", "--mount", "sh", "-c", _MOUNT, str(self.folder))
        return subprocess.run(
            (*enter, *command), capture_output=True, text=True, timeout=100, check=False, start_new_session=True
        )

    def install(self, name: str, command: str = "install") -> subprocess.CompletedProcess[str]:
        """Run the installer of an archive."""
        return self.run("sh", f"/opt/{name}/install.sh", command)

    def configure(self, *cameras: str) -> None:
        """Write the configuration of the first camera, and of further ones that systemd starts at boot."""
        (self.folder / "etc/edge-app").mkdir(exist_ok=True)
        for camera in ("edge-app", *cameras):
            (self.folder / f"etc/edge-app/{camera}.toml").touch()
        for camera in cameras:
            (self.wants / _unit(camera)).symlink_to("/usr/local/lib/systemd/system/edge-app@.service")

    def used(self) -> str:
        """Return the archive from which the units come that systemd sees; fails unless the program is of the same."""
        (line,) = [one for one in self._unit_of(self.units).splitlines() if one.startswith("# of ")]
        assert line in self._unit_of(self.release() / "systemd")
        return line.removeprefix("# of ")

    def release(self) -> Path:
        """Return the folder of the release in use, as the test sees it."""
        return self.folder / str((self.folder / "opt/edge-app/current").readlink()).lstrip("/")

    def releases(self) -> int:
        return len(list((self.folder / "opt/edge-app/releases").iterdir()))

    def calls(self) -> str:
        return (self.folder / "run/fake/calls").read_text()

    @staticmethod
    def _unit_of(folder: Path) -> str:
        return (folder / "edge-app.service").read_text()


def _unit(camera: str) -> str:
    return "edge-app.service" if camera == "first" else f"edge-app@{camera}.service"
