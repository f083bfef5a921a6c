"""Try two instances behind a real load balancer, with the configuration in deploy/balancer: needs HAProxy.

`python -m tests.trials.serve.balanced` sends pictures and clips through it, asks for each job by its address, asks the
wrong instance, and ends one of the two.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_app.errors import EdgeAppError
from edge_app.http.problems import RefusalError
from edge_app.serve.client import Client
from edge_app.serve.examples import CLIP, PICTURE, example
from tests.support.paths import ROOT
from tests.trials.serve.program import Program, program

LINE = "main:0.5,0.95,0.5,0.4"
HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"


@contextmanager
def balancer(one: Program, other: Program) -> Iterator[str]:
    """Run HAProxy before two services within the context and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = (ROOT / "deploy/balancer/haproxy.cfg").read_text("utf-8")
    for before, after in ((8080, port), (8765, one.port), (8766, other.port)):
        text = re.sub(rf"(127\.0\.0\.1):{before}\b", rf"\1:{after}", text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "haproxy.cfg"
        path.write_text(text)
        with subprocess.Popen((HAPROXY, "-db", "-f", str(path))) as process:
            try:
                time.sleep(3.0)  # until both have been asked for their health
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


def instances(client: Client, clip: Path) -> Counter[str]:
    """Count four clips and return how many each instance took; ask for each job many times by its address."""
    jobs = [client.count(clip, [LINE]).id for _ in range(4)]
    for job in jobs:
        assert client.wait(job).state == "done"
        for _ in range(10):
            assert client.result(job)["frames"] == 40
    return Counter(job.partition("-")[0] for job in jobs)


def main() -> int:
    """Run the trial and return 0. Raises AssertionError: where something is not as promised."""
    picture = example(PICTURE)[0]
    with tempfile.TemporaryDirectory() as folder, program("--instance", "a") as one:
        clip = Path(folder) / "street.mp4"
        clip.write_bytes(example(CLIP)[0])
        with program("--instance", "b") as other, balancer(one, other) as url, Client(url, timeout_s=120) as client:
            for _ in range(20):
                assert client.predict(picture).boxes
            took = instances(client, clip)
            print(f"clips: {dict(took)}")
            assert set(took) == {"a", "b"}
            mine = next(job.id for job in one.client().jobs())
            try:
                other.client().job(mine)
            except RefusalError as refused:
                print(f"the wrong instance answers {refused.status.value}: {refused.sentence}")
            other.process.terminate()
            other.process.wait()
            answered = 0
            for _ in range(20):
                try:
                    answered += bool(client.predict(picture).boxes)
                except EdgeAppError as error:
                    print(f"not answered: {error}")
            print(f"one of two has ended: {answered} of 20 pictures were answered, and job {mine} is there still")
            assert client.job(mine).state == "done"
            assert answered == 20
    return 0


if __name__ == "__main__":
    sys.exit(main())
