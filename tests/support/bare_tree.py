"""Install the archive without a network in a bare Debian of this or another processor, as on a device.

The Debian tree is unpacked, not configured (no maintainer script runs), so that one of an emulated processor is ready
in less than a minute. Needs root, debootstrap and its mirror; for another processor also qemu-user-static.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import tarfile
from pathlib import Path

PACKAGES = "python3,python3-venv,openssl"
PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}
"""Name of the processor in an archive's name -> Debian's name."""
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_CONFIG = """
device = {{ site = "test-site", device = "bare-tree" }}
source = {{ kind = "street", width = 640, height = 360, fps = {fps} }}
detector = {{ threads = 1 }}
store = {{ folder = "/var/lib/edge-app" }}
"""
PROGRAM = "/opt/edge-app/current/bin/edge-app"
PYTHON = "/opt/edge-app/current/bin/python"


def make(tree: Path, processor: str, suite: str = "bookworm") -> None:
    """Download and unpack a tree that is not there yet; an incomplete one is made again."""
    done = tree / "tree-is-whole"
    if done.exists():
        return
    shutil.rmtree(tree, ignore_errors=True)
    arch = f"--arch={PROCESSORS[processor]}"
    run("debootstrap", arch, "--foreign", "--variant=minbase", f"--include={PACKAGES}", suite, str(tree))
    for package in sorted((tree / "var/cache/apt/archives").glob("*.deb")):
        with subprocess.Popen(("dpkg-deb", "--fsys-tarfile", str(package)), stdout=subprocess.PIPE) as unpacked:
            tar = ("tar", "-x", "--keep-directory-symlink", "-C", str(tree))
            subprocess.run(tar, stdin=unpacked.stdout, check=True)
    (tree / "proc").unlink(missing_ok=True)  # a link to that of the host, which is invalid within the tree
    (tree / "proc").mkdir()
    for name in ("passwd", "group"):
        shutil.copy(tree / f"usr/share/base-passwd/{name}.master", tree / "etc" / name)
    done.touch()


def emulate(processor: str) -> None:
    """Register qemu with the kernel for programs of another processor, where that has not been done.

    Raises OSError: when it is not installed.
    """
    if processor == platform.machine():
        return
    rule = Path(f"/usr/lib/binfmt.d/qemu-{processor}.conf")
    if not rule.exists():
        raise OSError(f"programs for {processor} do not run here: apt install qemu-user-static")
    if not (_BINFMT / "register").exists():
        run("mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT))
    if not (_BINFMT / f"qemu-{processor}").exists():
        (_BINFMT / "register").write_text(rule.read_text().strip())


def inside(tree: Path, *command: str, timeout: float = 900.0) -> subprocess.CompletedProcess[str]:
    """Run a command with the tree as its root, without any network, loopback included, and with only /proc mounted."""
    # ai-edge-litert 2.3.0 crashes under qemu when /sys is mounted too.
    script = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    enter = ("unshare", "--net", "--mount", "sh", "-c", script, str(tree))
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    return subprocess.run((*enter, *command), capture_output=True, text=True, timeout=timeout, env=clean, check=False)


def install(tree: Path, archive: Path, *, fps: float) -> subprocess.CompletedProcess[str]:
    """Remove an earlier installation, unpack the archive as from a USB stick, and run its installer.

    fps: of the street in the configuration, frames/s.
    """
    for folder in ("usb", "opt/edge-app", "etc/edge-app", "var/lib/edge-app"):
        shutil.rmtree(tree / folder, ignore_errors=True)
    with tarfile.open(archive) as packed:
        packed.extractall(tree / "usb")
    (unpacked,) = (tree / "usb").iterdir()
    done = inside(tree, "sh", f"/usb/{unpacked.name}/install.sh", "install", "--offline")
    (tree / "etc/edge-app").mkdir(parents=True, exist_ok=True)
    (tree / "etc/edge-app/edge-app.toml").write_text(_CONFIG.format(fps=fps))
    return done


def check(tree: Path) -> list[str]:
    """Run `edge-app check` in the tree and return its findings, a line each.

    Raises AssertionError: unless the broker, which is absent without a network, is the only failure.
    """
    done = inside(tree, PROGRAM, "check", "--config", "/etc/edge-app/edge-app.toml")
    bad = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert (done.returncode, len(bad), bad[0][:12] if bad else "") == (1, 1, "FAIL  broker"), done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line[:4] in ("ok  ", "warn", "FAIL")]


def run(*command: str) -> None:
    """Run a command. Raises OSError: with the last line of its output, when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise OSError(f"{command[0]} failed: {lines[-1]}")
