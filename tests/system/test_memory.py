"""Memory of the start that is given back: measured in a process of its own, which works on afterwards."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import cv2, numpy as np, pydantic
import edge_app.app
from edge_app.system.memory import release_startup_memory

def resident_mb():
    line = next(line for line in open("/proc/self/status") if line.startswith("RssFile"))
    return int(line.split()[1]) / 1000

before = resident_mb()
release_startup_memory()
after = resident_mb()
image = cv2.resize(np.full((90, 160, 3), 7, np.uint8), (32, 18))
print(before, after, int(image.sum()), np.linalg.det(np.eye(3)))
"""


def test_program_code_of_the_start_leaves_the_memory_and_runs_again_when_it_is_needed() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    before, after, total, one = map(float, ran.stdout.split())
    assert after < before - 10
    assert (total, one) == (7 * 18 * 32 * 3, 1.0)
