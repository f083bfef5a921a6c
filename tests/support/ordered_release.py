"""A device to which the office orders releases: its own file, both keys, and what the service leaves for root."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import time
from pathlib import Path
from typing import Any

from edge_app.mqtt.events import Message
from tests.support.device_root import Device
from tests.support.signed_commands import CommandingOffice

PREFIX = "traffic/v1/harbour/pole-7"


class OrderedDevice(Device):
    """Device that counts with the release "old", and trusts the office and the key of the builds."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.office = CommandingOffice(folder, PREFIX)
        self.archive("old")
        self.configure("north")
        (folder / "etc/edge-app/edge-app.toml").write_text(
            f'device = {{ site = "harbour", device = "pole-7" }}\noffice = {{ keys = ["{self.office.key}"] }}\n'
        )
        done = self.install("old")
        assert done.returncode == 0, done.stderr
        self.fake("faster", "20")
        script = """set -e
        openssl genpkey -algorithm ed25519 -out "$1/key"
        openssl pkey -in "$1/key" -pubout -out "$1/etc/edge-app/release.pub" """
        subprocess.run(("sh", "-c", script, "sh", folder), check=True)
        self.update = folder / "var/lib/edge-app/update"
        self.orders = 0

    def pack(self, name: str, listed: str = "edge-app-0.2.0-x86_64") -> dict[str, Any]:
        """Make /opt/NAME an archive of a build that is signed, beside the device; return the arguments of its order."""
        out = self.folder / "sent"
        out.mkdir(exist_ok=True)
        script = """set -e
        XZ_OPT=-0 tar -cJf "$3.tar.xz" --transform "s,^$2,$3," -C "$1/opt" "$2"
        sha256sum "$3.tar.xz" >SHA256SUMS
        openssl pkeyutl -sign -rawin -inkey "$1/key" -in SHA256SUMS -out SHA256SUMS.sig"""
        subprocess.run(("sh", "-c", script, "sh", self.folder, name, listed), cwd=out, check=True)
        self.content = (out / f"{listed}.tar.xz").read_bytes()
        return {
            "url": f"https://city.example/{listed}.tar.xz",
            "bytes": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "sums": (out / "SHA256SUMS").read_text(),
            "sums_signature": base64.b64encode((out / "SHA256SUMS.sig").read_bytes()).decode(),
        }

    def sign(self, command: str, args: dict[str, Any] | None = None, *, ago_s: float = 0.0, **options: Any) -> Message:
        """Return an order of the office, signed `ago_s` seconds ago."""
        self.orders += 1
        return self.office.sign(command, f"order-{self.orders}", args, now=time.time() - ago_s, **options)

    def leave(self, message: Message, content: bytes | None = None) -> None:
        """Leave an order for root, as the service does. content: of the archive, by default the one packed last."""
        self.update.mkdir(parents=True, exist_ok=True)
        if message.topic.endswith("release"):
            (self.update / "release.tar.xz").write_bytes(self.content if content is None else content)
        (self.update / "order.json").write_bytes(message.payload)

    def carry_out(self) -> tuple[int, str]:
        """Have root look at the order; return its exit code and what is told to the office."""
        done = self.run("sh", "/opt/edge-app/current/install.sh", "ordered")
        assert not self.update.exists(), f"it is not looked at for ever: {done.stderr}"
        self.said = done.stderr
        return done.returncode, self.told()

    def told(self) -> str:
        """Return what root tells the office, "" before the first order."""
        told = self.folder / "opt/edge-app/ordered"
        return told.read_text().strip() if told.exists() else ""
