"""Measure the service beside a bare loop: `python -m tests.trials.serve.speed [--pictures 2000] [--clients 8]`.

CPU seconds a picture, in turns on one machine: a loop in one process that decodes, letterboxes, infers and decodes
boxes; the same loop in as many processes as the service has engines, which get into each other's way as those do; and
`edge-app serve`, asked by clients in this process. Pictures a second and p95 are those of the
service; they depend on what else the machine does, CPU seconds hardly.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles

import cv2
import numpy as np

from edge_app.detectors.tflite import TfliteDetector
from tests.support.pictures import encoded, street_picture
from tests.trials.serve.program import Program, program


def bare_cpu_s(content: bytes, pictures: int) -> float:
    """Return the CPU seconds a picture of a bare loop."""
    detector = TfliteDetector(score=0.2)
    began = time.process_time()
    for _ in range(pictures):
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        detector.detect(np.asarray(image, np.uint8))
    return (time.process_time() - began) / pictures


def served(service: Program, content: bytes, pictures: int, clients: int) -> tuple[float, float, list[float]]:
    """Return CPU seconds a picture, pictures a second, and the time of each request, s."""
    times: list[float] = []

    def ask(number: int) -> None:
        with service.client() as client:
            for _ in range(number):
                began = time.perf_counter()
                client.predict(content)
                times.append(time.perf_counter() - began)

    before, began = service.process.cpu_times(), time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, [pictures // clients] * clients))
    after, wall = service.process.cpu_times(), time.perf_counter() - began
    cpu = after.user + after.system - before.user - before.system
    return cpu / len(times), len(times) / wall, times


def main() -> int:
    """Measure in turns and print the medians; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000, help="pictures of each side (2000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--engines", type=int, default=multiprocessing.cpu_count())
    arguments = parser.parse_args()
    n: int = arguments.engines
    content, each = encoded(street_picture()), arguments.pictures // arguments.rounds
    bare, beside, ours, rates, times = [], [], [], [], []
    with program("--engines", str(n)) as service, multiprocessing.get_context("spawn").Pool(n) as other:
        served(service, content, 2 * arguments.clients, arguments.clients)  # the first ones are slow
        for _ in range(arguments.rounds):
            bare.append(other.apply(bare_cpu_s, (content, each)))
            beside.append(sum(other.starmap(bare_cpu_s, [(content, each // n)] * n, chunksize=1)) / n)
            cpu, rate, took = served(service, content, each, arguments.clients)
            ours.append(cpu)
            rates.append(rate)
            times += took
    print(f"service {1000 * median(ours):.2f} ms of CPU a picture")
    for name, reference in (("a bare loop", bare), (f"{n} bare loops side by side", beside)):
        ratios = [a / b for a, b in zip(ours, reference, strict=True)]
        shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"{name} {1000 * median(reference):.2f} ms: ratio {median(ratios):.3f}, of the rounds {shown}")
    print(f"{median(rates):.1f} pictures a second, p50 {1000 * median(times):.0f} ms", end=", ")
    print(f"p95 {1000 * quantiles(times, n=20)[18]:.0f} ms, {arguments.clients} clients, {n} engines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
