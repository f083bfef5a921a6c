"""Have schemathesis hold the service to its own OpenAPI document, with every check.

`python -m tests.trials.serve.document [--examples 300] [--seed 1]` prints its report and how many pictures were looked
at. It fails on any finding, and below `--pictures` of them; 503 of a full queue is documented and no finding.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from urllib.request import urlopen

from tests.support.paths import ROOT
from tests.trials.serve.program import Program, program


def schemathesis(
    url: str, examples: int, seed: int, *options: str, hooks: str = "tests.trials.serve.strategies"
) -> subprocess.CompletedProcess[str]:
    """Run schemathesis against a service and return what it says.

    examples: cases for each call at most. hooks: the module that says what is sent.
    """
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--checks", "all"]
    command += ["--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure", "--no-color"]
    command += ["--suppress-health-check", "all", "--request-timeout", "120"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": hooks, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:  # it keeps what it learns in the folder where it is started
        return subprocess.run(
            [*command, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )


def looked_at(service: Program) -> int:
    """Return the number of pictures that the service has looked at."""
    with urlopen(f"{service.url}/metrics") as answer:
        found = re.search(r"^edge_app_serve_pictures_total (\d+)", answer.read().decode(), re.MULTILINE)
    return int(found[1]) if found else 0


def main() -> int:
    """Run schemathesis once, print its report, and return 1 for a finding or too few pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300, help="cases for each call (300)")
    parser.add_argument("--pictures", type=int, default=500, help="pictures that must be looked at (500)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with program() as service:
        done = schemathesis(service.url, given.examples, given.seed)
        pictures = looked_at(service)
    report = (line[:300] for line in (done.stdout + done.stderr).splitlines())  # bodies are long
    print(*report, f"{pictures} pictures were looked at", sep="\n")
    return int(done.returncode != 0 or pictures < given.pictures)


if __name__ == "__main__":
    sys.exit(main())
