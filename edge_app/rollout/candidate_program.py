"""Run the process of a candidate, which gets processor time only while nobody else on the device wants any.

It is no thread of the service, for three reasons. Python lets one thread run at a time: one of low priority that is
preempted while it holds Python's lock keeps the counting thread waiting. A candidate that crashes the runtime takes
only this process with it. And where memory ends, the kernel ends this process first.

Standard input: the settings, then a line for each frame (`candidate_messages`); its end is the end of the process.
Standard output: the answers. The argument is the number of the descriptor of the shared memory. Without one it says
why it may not take the lowest priority, and ends.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path


def main(memory: int) -> None:
    """Count until standard input ends. memory: descriptor of the shared memory."""
    # What is meant for the service, whose end ends standard input.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    refused = step_aside()
    from edge_app.rollout.candidate_counting import count, refuse  # loads the runtime: only at the lowest priority

    if refused:
        refuse(sys.stdout.buffer, refused)
    else:
        count(memory, sys.stdin.buffer, sys.stdout.buffer)


def step_aside() -> str:
    """Take the lowest priority, and be the first to go where memory ends; return why that is refused, "" when not."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError as error:
        return (
            f"the system refuses it the lowest priority ({error.strerror}), without which it could slow the service: "
            "allow the unit sched_setscheduler"
        )
    return ""


if __name__ == "__main__":
    if sys.argv[1:]:
        main(int(sys.argv[1]))
    else:
        print(step_aside())
