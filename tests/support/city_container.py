"""Run the city's image, whose steps were carried out in a bare tree, as its compose file does: page, worker and office.

All see the tree read-only and run as the file's user; the network is that of the machine, for the broker and the
database are elsewhere.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.container_tree import steps

_CONFIG = "/etc/edge-app-city/city.toml"
_RUN = """
mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev"
mount -t tmpfs tmpfs "$0/tmp" && mount --bind "$DATA" "$0$VOLUME" && mount --bind -o ro "$CONFIG" "$0/etc/edge-app-city"
mount --bind -o ro "$SECRET" "$0/run/secrets/office_key"
inside() { chroot --userspec="$OWNER" "$0" "$@"; }
# Not by the function: a signal would end the shell that runs it, and not the program.
chroot --userspec="$OWNER" "$0" $PAGE & page=$!
chroot --userspec="$OWNER" "$0" $WORKER & worker=$!
for n in $(seq 120); do sleep 1; inside sh -c "$HEALTH" 2>/dev/null && break; done
chroot --userspec="$OWNER" "$0" $OFFICE & office=$!
inside sh -c "$HEALTH" && echo healthy
inside sh -c 'touch /opt/edge-app/x 2>/dev/null && echo written; id -u'
inside $CHECK
TOKEN=$(inside $ADD_TOKEN) && export TOKEN && inside /opt/edge-app/bin/python -c "$ASK"
echo a-long-password | inside $CITY user add anna --role administrator $READS
inside $CITY user list $READS
inside $CITY backup "$VOLUME/whole.backup" $READS
kill $page; wait $page; echo page ended $?
kill $worker; wait $worker; echo worker ended $?
kill $office; wait $office; echo office ended $?
inside $CITY user remove anna $READS
inside $CITY restore --replace "$VOLUME/whole.backup" $READS && inside $CITY user list $READS
"""
_ASK = """
import json, os, time, urllib.request
def ask(path):
    token = {"Authorization": "Bearer " + os.environ["TOKEN"]}
    return json.load(urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8800" + path, headers=token)))
for n in range(60):
    sites = ask("/api/v1/sites")["sites"]
    if sites:
        break
    time.sleep(1)
print([one["id"] for one in sites], ask("/health")["broker"])
"""


def run(
    file: Path, tree: Path, data: Path, config: Path, secret: Path, *, worker: Sequence[str], office: Sequence[str]
) -> str:
    """Run the image as page, as further worker and as office, and return what they and the steps print.

    data, config: folders in the place of its volumes. secret: file with the office's key. worker, office: commands.
    """
    told: dict[str, Any] = dict(steps(file))
    owner = next(line for line in (tree / "etc/passwd").read_text().splitlines() if f":{told['USER']}:" in line)
    uid, gid = owner.split(":")[2:4]
    for path in (data, config, secret, *config.iterdir()):
        os.chown(path, int(uid), int(gid))
    (tree / "etc/edge-app-city").mkdir(parents=True, exist_ok=True)
    (tree / told["VOLUME"].lstrip("/")).mkdir(exist_ok=True)
    (tree / "run/secrets").mkdir(parents=True, exist_ok=True)
    (tree / "run/secrets/office_key").touch()
    program = json.loads(told["ENTRYPOINT"])
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "OWNER": f"{uid}:{gid}",
        "DATA": str(data),
        "CONFIG": str(config),
        "SECRET": str(secret),
        "VOLUME": told["VOLUME"],
        "HEALTH": shlex.join(json.loads(told["HEALTHCHECK"].partition("CMD ")[2])),
        "PAGE": " ".join([*program, *json.loads(told["CMD"])]),
        "WORKER": " ".join([*program, *worker]),
        "OFFICE": " ".join(office),
        "CITY": " ".join(program),
        "READS": f"--config {_CONFIG}",
        "CHECK": " ".join([*program, "check", "--config", _CONFIG]),
        "ADD_TOKEN": " ".join([*program, "token", "add", "test", "--scope", "read", "--config", _CONFIG]),
        "ASK": _ASK,
        **dict(one.partition("=")[::2] for one in [told["ENV"]]),
    }
    enter = ("unshare", "--mount", "sh", "-c", _RUN, str(tree))
    done = subprocess.run(enter, env=environment, capture_output=True, text=True, timeout=600, check=False)
    return done.stdout + done.stderr
