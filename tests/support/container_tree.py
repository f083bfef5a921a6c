"""Carry out the steps of the container file in a bare Debian tree, where no container engine is at hand.

The tree stands for the base image: Debian bookworm with its Python 3.11. RUN and COPY are carried out as they stand in
the file, and the program runs as the file's user with the tree read-only and a network of its own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support import bare_tree
from tests.support.paths import ROOT

_RUN = """
mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev"
mount -t tmpfs tmpfs "$0/tmp" && mount --bind "$DATA" "$0$VOLUME" && ip link set lo up
mount --bind "$TOKENS" "$0/etc/edge-app/tokens"
inside() { chroot --userspec="$OWNER" "$0" "$@"; }
chroot --userspec="$OWNER" "$0" "$@" & service=$!
for n in $(seq 120); do sleep 1; inside sh -c "$HEALTH" 2>/dev/null && break; done
inside sh -c "$HEALTH" && echo healthy
inside sh -c 'touch /opt/edge-app/x 2>/dev/null && echo written; id -u'
inside /opt/edge-app/bin/python -c "$ASK"
kill $service; wait $service; echo ended $?
"""
_ASK = """
import json, os, time, urllib.request
def ask(path, body=None):
    token = {"Authorization": "Bearer " + os.environ["TOKEN"]}
    return urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8765" + path, body, token)).read()
print(len(json.loads(ask("/predict", ask("/examples/street.jpg")))["boxes"]), "boxes")
job = json.loads(ask("/counts?annotate=true", ask("/examples/street.mp4")))
while job["state"] in ("waiting", "counting"):
    time.sleep(1)
    job = json.loads(ask("/counts/" + job["id"]))
print(json.loads(ask("/counts/" + job["id"] + "/result"))["frames"], "frames", job["state"])
"""


def steps(file: Path) -> list[tuple[str, str]]:
    """Return the instructions of a container file, such as ("RUN", "useradd ...")."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", file.read_text("utf-8"), flags=re.MULTILINE))
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in text.splitlines() if line.strip()]


def build(file: Path, tree: Path) -> None:
    """Carry out the steps that make the image. Raises OSError: when one fails."""
    _make_base(tree)
    python = tree / "usr/local/bin/python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.unlink(missing_ok=True)
    python.symlink_to("/usr/bin/python3")
    subprocess.run(("chroot", str(tree), "userdel", "edge-app"), capture_output=True, check=False)  # of an earlier run
    for name in ("opt/edge-app", "data"):
        shutil.rmtree(tree / name, ignore_errors=True)
    for path in ("/etc/resolv.conf", "/etc/pip.conf", os.environ.get("PIP_CERT", "")):  # as an engine passes them on
        if path and Path(path).is_file():
            (tree / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tree / path.lstrip("/"))
    for word, text in steps(file):
        if word == "COPY" and not text.startswith("--from"):
            *sources, target = text.split()
            for source in (found for pattern in sources for found in ROOT.glob(pattern)):
                shutil.copy(source, tree / target.lstrip("/"))
        elif word == "RUN":
            bare_tree.run("chroot", str(tree), "sh", "-c", text)


def _make_base(tree: Path) -> None:
    """Make the tree that stands for the base image, in which apt works: its packages are configured."""
    done = tree / "base-is-whole"
    if done.exists():
        return
    shutil.rmtree(tree, ignore_errors=True)
    bare_tree.run("debootstrap", "--variant=minbase", f"--include={bare_tree.PACKAGES}", "bookworm", str(tree))
    done.touch()


def run(file: Path, tree: Path, data: Path, tokens: Path, token: str) -> str:
    """Run the image as the compose file does, ask it for boxes, end it, and return what the steps print."""
    told: dict[str, Any] = dict(steps(file))
    owner = next(line for line in (tree / "etc/passwd").read_text().splitlines() if f":{told['USER']}:" in line)
    uid, gid = owner.split(":")[2:4]
    os.chown(data, int(uid), int(gid))
    (tree / "etc/edge-app").mkdir(parents=True, exist_ok=True)
    (tree / "etc/edge-app/tokens").touch()
    check = json.loads(told["HEALTHCHECK"].partition("CMD ")[2])
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "OWNER": f"{uid}:{gid}",
        "DATA": str(data),
        "VOLUME": told["VOLUME"],
        "TOKENS": str(tokens),
        "TOKEN": token,
        "HEALTH": shlex.join(check),
        "ASK": _ASK,
    }
    command = [*json.loads(told["ENTRYPOINT"]), *json.loads(told["CMD"])]
    enter = ("unshare", "--net", "--mount", "sh", "-c", _RUN, str(tree))
    done = subprocess.run((*enter, *command), env=environment, capture_output=True, text=True, timeout=600, check=False)
    return done.stdout + done.stderr
