"""The archive on another processor, emulated: python -m tests.trials.arm TREE ARCHIVE [--processor aarch64].

TREE is made when it is not there (tests/support/bare_tree.py). Installs offline, imports, loads the model, looks at one
picture and compares with this processor, runs `edge-app check`. Needs root; prints the seconds of each step, which are
those of an emulator and say nothing of a device. Exit 1 when something did not hold.
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

LOOK = """
import json, platform
from edge_app.config.model import Config
from edge_app.app import build_detector
from edge_app.sources.street.street import Street
detector = build_detector(Config())
street = Street(width=1280, height=720, fps=2.0)
frames = [street.read(0) for _ in range(13)]
found = detector.detect(frames[-1].image)
order = found.boxes[:, 0].argsort()
print(json.dumps({"machine": platform.machine(), "boxes": found.boxes[order].tolist(),
                  "scores": found.scores[order].tolist(), "classes": found.classes[order].tolist()}))
"""
BOX_PX, SCORE = 4.0, 0.08
"""How far int8 kernels of two processors may differ: two steps of the box codes, two of the scores."""


def trial(tree: Path, archive: Path, processor: str) -> Iterator[tuple[str, str]]:
    """What was tried and what was seen; AssertionError at the first that does not hold."""
    bare_tree.emulate(processor)
    bare_tree.make(tree, processor)
    seen = bare_tree.inside(tree, "uname", "-m")
    assert seen.stdout.strip() == processor, seen.stderr or seen.stdout
    yield "the tree runs", f"uname -m says {processor}"

    done = bare_tree.install(tree, archive, fps=0.5)
    assert done.returncode == 0, done.stderr
    yield "installs offline", done.stderr.strip().splitlines()[0]

    done = bare_tree.inside(
        tree, bare_tree.PYTHON, "-c", "import edge_app.app, edge_app.cli, cv2; print(cv2.__version__)"
    )
    assert done.returncode == 0, done.stderr
    yield "imports", f"OpenCV {done.stdout.strip()}"

    there = bare_tree.inside(tree, bare_tree.PYTHON, "-c", LOOK)
    assert there.returncode == 0, there.stderr[-2000:]
    yield "loads the model and looks at a picture", compare(there.stdout)

    yield "check", " / ".join(bare_tree.check(tree))


def compare(there: str) -> str:
    """The emulated processor's detections beside this one's."""
    here = subprocess.run((sys.executable, "-c", LOOK), capture_output=True, text=True, check=True).stdout
    a, b = json.loads(there.splitlines()[-1]), json.loads(here.splitlines()[-1])
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
        for promise, seen in trial(options.tree, options.archive, options.processor):
            print(f"{time.monotonic() - began:5.0f} s  {promise}: {seen}", flush=True)
    except (AssertionError, OSError) as error:
        print(f"{time.monotonic() - began:5.0f} s  FAILED: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
