"""Try the archive on an emulated processor: python -m tests.trials.arm TREE ARCHIVE [--processor aarch64].

TREE is made when it is not there (tests/support/bare_tree.py). Installs offline, imports, loads the model, detects in
one picture and compares with this processor, runs `edge-app check`. Needs root. Prints the seconds of each step, which
are those of an emulator, not of a device. Exit 1 when a step fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.support import bare_tree

DETECT = """
import json, platform
from edge_app.config.model import Config
from edge_app.assembly.counter import build_detector
from edge_app.sources.street.street import Street
detector = build_detector(Config())
street = Street(width=1280, height=720, fps=2.0)
frames = [street.read(0) for _ in range(13)]
detections = detector.detect(frames[-1].image)
order = detections.boxes[:, 0].argsort()
print(json.dumps({"machine": platform.machine(), "boxes": detections.boxes[order].tolist(),
                  "scores": detections.scores[order].tolist(), "classes": detections.classes[order].tolist()}))
"""
BOX_PX, SCORE = 4.0, 0.08
"""Largest differences between the int8 kernels of two processors: two steps of the box codes and of the scores."""


def trial(tree: Path, archive: Path, processor: str) -> Iterator[tuple[str, str]]:
    """Run the steps and yield each one with its result. Raises AssertionError: at the first step that fails."""
    bare_tree.emulate(processor)
    bare_tree.make(tree, processor)
    machine = bare_tree.inside(tree, "uname", "-m")
    assert machine.stdout.strip() == processor, machine.stderr or machine.stdout
    yield "the tree runs", f"uname -m prints {processor}"

    done = bare_tree.install(tree, archive, fps=0.5)
    assert done.returncode == 0, done.stderr
    yield "installs offline", done.stderr.strip().splitlines()[0]

    done = bare_tree.inside(
        tree, bare_tree.PYTHON, "-c", "import edge_app.app, edge_app.cli, cv2; print(cv2.__version__)"
    )
    assert done.returncode == 0, done.stderr
    yield "imports", f"OpenCV {done.stdout.strip()}"

    detected = bare_tree.inside(tree, bare_tree.PYTHON, "-c", DETECT)
    assert detected.returncode == 0, detected.stderr[-2000:]
    yield "loads the model and detects in a picture", compare(detected.stdout)

    yield "check", " / ".join(bare_tree.check(tree))


def compare(emulated: str) -> str:
    """Compare the detections of the emulated processor with those of this one, and return the differences."""
    here = subprocess.run((sys.executable, "-c", DETECT), capture_output=True, text=True, check=True).stdout
    a, b = json.loads(emulated.splitlines()[-1]), json.loads(here.splitlines()[-1])
    assert b["boxes"], "the picture is empty: nothing was compared"
    assert a["classes"] == b["classes"], f"{a} and here {b}"
    boxes = float(np.abs(np.subtract(a["boxes"], b["boxes"])).max())
    scores = float(np.abs(np.subtract(a["scores"], b["scores"])).max())
    assert boxes <= BOX_PX, f"boxes differ by {boxes:.2f} px"
    assert scores <= SCORE, f"scores differ by {scores:.3f}"
    return (
        f"{len(a['boxes'])} road users on {a['machine']} and on {b['machine']}, "
        f"boxes within {boxes:.2f} px, scores within {scores:.3f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--processor", choices=bare_tree.PROCESSORS, default="aarch64")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        for step, result in trial(options.tree, options.archive, options.processor):
            print(f"{time.monotonic() - began:5.0f} s  {step}: {result}", flush=True)
    except (AssertionError, OSError) as error:
        print(f"{time.monotonic() - began:5.0f} s  FAILED: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
