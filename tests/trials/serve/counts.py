"""Compare what the service counts in clips with what `edge-app count` counts: whole results, the time taken left out.

`python -m tests.trials.serve.counts TRUTH.json ... [--clips DIR]`; the lines are those of the truth files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from edge_app.offline.scoring import Truth, read_truth
from edge_app.serve.client import Client
from tests.support.paths import ROOT
from tests.trials.serve.program import program


def line_of(truth: Truth) -> str:
    """Return the line of a truth file as `--line` takes it."""
    (x0, y0), (x1, y1) = truth.line.start, truth.line.end
    return f"{truth.line.id}:{x0!r},{y0!r},{x1!r},{y1!r}"


def counted(clip: Path, line: str) -> dict[str, Any]:
    """Return the result of `edge-app count`. Raises CalledProcessError: when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, "-m", "edge_app.cli", "count", str(clip), "--line", line, "--out", str(out)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return {**json.loads(out.read_text("utf-8")), "timing": None}


def served(client: Client, clip: Path, line: str) -> dict[str, Any]:
    """Return the result of a job of the service, or its problem."""
    job = client.wait(client.count(clip, [line]).id)
    found = client.result(job.id) if job.state == "done" else {"problem": job.problem}
    client.remove(job.id)
    return {**found, "timing": None}


def main() -> int:
    """Compare each clip and return 1 when a result differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", metavar="TRUTH.json", nargs="+", type=Path)
    parser.add_argument("--clips", metavar="DIR", type=Path, help="folder of the clips (../clips of each truth)")
    given = parser.parse_args()
    same = 0
    with program() as service, service.client() as client:
        for path in given.truth:
            truth = read_truth(path)
            clip = (given.clips or path.resolve().parent.parent / "clips") / truth.clip
            theirs, ours = served(client, clip, line_of(truth)), counted(clip, line_of(truth))
            same += theirs == ours
            told = "the same" if theirs == ours else theirs.get("problem", "another result")
            print(f"{truth.clip}: {len(ours['events'])} crossings, {told}", flush=True)
    print(f"{same} of {len(given.truth)} results are the same")
    return int(same < len(given.truth))


if __name__ == "__main__":
    sys.exit(main())
