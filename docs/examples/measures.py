"""Add up what `consumer.py` has stored beside the counts: speeds, headways, occupancy, queues and turning flows.

    measures.py DATABASE [FROM [TO]]    # times as 2026-11-30T06:00:00Z

Prints one line for each measure. `add` and the formulas below it are what to copy: whoever keeps sums may add them up
over intervals, lines and devices, and take means last.
"""

import json
import sqlite3
import sys
from datetime import datetime


def add(left, right):
    """Return the sum of both, with the names of either; of `most` the maximum."""
    total = dict(left)
    for name, value in right.items():
        if isinstance(value, dict):
            total[name] = add(total.get(name, {}), value)
        elif name == "most":
            total[name] = max(total.get(name, 0), value)
        else:
            total[name] = total.get(name, 0) + value
    return total


def percentile(bins, share):
    """Return the speed, km/h, that this share of the vehicles does not exceed, even within its bin of 2 km/h."""
    wanted, before = share * sum(bins.values()), 0
    for edge, n in sorted((int(edge), n) for edge, n in bins.items()):
        if before + n >= wanted:
            return edge + 2 * (wanted - before) / n
        before += n
    return None


def speeds(sums):
    """Return time mean, space mean and 85th percentile, km/h; nothing without a measured vehicle."""
    if not sums["n"]:
        return "no vehicle measured"
    mean, space, high = sums["sum"] / sums["n"], sums["n"] / sums["sum_inverse"], percentile(sums["bins"], 0.85)
    return f"{sums['n']} vehicles, mean {mean:.1f}, space mean {space:.1f}, 85 % below {high:.1f} km/h"


def lines_of(sums):
    """Yield a text for each measure of one line, or of the ways through a junction."""
    for label, directions in sums.get("speed", {}).items():
        for direction, one in directions.items():
            yield f"{label} {direction}: {speeds(one)}, {one['unmeasured']} not measured"
    for lane, bins in sorted(sums.get("headway", {}).items()):
        yield f"lane {lane}: headways up to s: {', '.join(f'{edge}: {n}' for edge, n in bins.items())}"
    for lane, time in sorted(sums.get("occupancy", {}).items()):
        if time["seen_s"]:
            yield f"lane {lane}: occupied {100 * time['occupied_s'] / time['seen_s']:.1f} % of {time['seen_s']:.0f} s"
    if queue := sums.get("queue"):
        some, every = queue["any_s"], queue["vehicle_s"]
        yield f"queue: at most {queue['most']}, some vehicle for {some:.0f} s, in all {every:.0f} s"
    for origin, ways in sums.get("flows", {}).items():
        for to, classes in ways.items():
            yield f"{origin} to {to}: {', '.join(f'{n} {label}' for label, n in classes.items())}"


MEASURES = ("speed", "headway", "occupancy", "queue", "flows", "entered", "entered_only", "left_only")


def main(database, begin="1970-01-01T00:00:00Z", end="2999-01-01T00:00:00Z"):
    first, last = (datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() for text in (begin, end))
    total = {}
    query = "SELECT site, device, line, payload FROM interval WHERE NOT aside AND start >= ? AND start < ? ORDER BY seq"
    for site, device, line, payload in sqlite3.connect(database).execute(query, (first, last)):
        interval = json.loads(payload)
        measured = {name: interval[name] for name in MEASURES if name in interval}
        total[site, device, line] = add(total.get((site, device, line), {}), measured)
    for (site, device, line), sums in total.items():
        for text in lines_of(sums):
            print(f"{site}/{device} {line}: {text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
