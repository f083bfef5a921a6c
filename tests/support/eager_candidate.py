"""Run the process of a candidate at normal priority: on a machine whose cores are busy a test would not end."""

import sys

from edge_app.rollout.candidate_counting import count

if __name__ == "__main__":
    count(int(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
