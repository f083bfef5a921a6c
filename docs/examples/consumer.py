"""Store every interval once, ask for those that are missing, check sums and show what contradicts another.

    consumer.py HOST PORT DATABASE [SECONDS [CA CERT KEY]] [--prefix city/north]

It needs paho-mqtt and a broker that lets it write `traffic/v1/+/+/commands/+`; CA, CERT and KEY for one with TLS.
"""

import argparse
import json
import re
import secrets
import sqlite3
import sys
import time
from datetime import datetime, timezone

from paho.mqtt import client as mqtt
from paho.mqtt.properties import PacketTypes, Properties

TABLES = """CREATE TABLE IF NOT EXISTS interval (id TEXT PRIMARY KEY, site, device, line, installation, seq, start, end,
    received, aside, payload); CREATE INDEX IF NOT EXISTS time ON interval (site, device, line, end);
    CREATE INDEX IF NOT EXISTS number ON interval (site, device, line, installation, seq);
    CREATE TABLE IF NOT EXISTS gone (site, device, line, installation, first, last, reason,
    UNIQUE (site, device, line, installation, first, last));
    CREATE TABLE IF NOT EXISTS newest (site, device, line, installation, seq, at,
    UNIQUE (site, device, line, installation));
    CREATE TABLE IF NOT EXISTS shown (what, one, other, UNIQUE (what, one, other))"""
GAPS = """WITH known AS (SELECT site, device, line, installation, seq AS first, seq AS last FROM interval
    WHERE installation != '' UNION SELECT site, device, line, installation, first, last FROM gone
    UNION SELECT site, device, line, installation, seq + 1, seq FROM newest WHERE at < ?),
    steps AS (SELECT *, coalesce(max(last) OVER (PARTITION BY site, device, line, installation ORDER BY first, last
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before FROM known)
    SELECT site, device, line, installation, before + 1, first - 1 FROM steps WHERE first > before + 1"""
OF_LINE = (
    "SELECT id, installation, seq, payload FROM interval WHERE NOT aside AND site = ? AND device = ? AND line = ? AND "
)
FLOWS = "_flows"  # stands for a line where turning flows are numbered
ASK_EVERY_S, ON_ITS_WAY_S, SILENCE_S, PATIENCE_S, HIGHEST = 2.0, 30.0, 180.0, 600.0, 50_000_000
asked, rest, heard = {}, {}, {}  # device: command, gap, until; gap: seconds, until; device: when


def need(value, kind, fits):
    """Return a value of a message if it is of that type and `fits` says so."""
    if type(value) is not kind or not fits(value):
        raise ValueError(f"no possible {kind.__name__} here: {value!r:.60}")
    return value


def any_of(_value):
    return True


def name(value):
    return need(value, str, re.compile("[A-Za-z0-9_-]{1,64}").fullmatch)


def number(value, lowest, highest=HIGHEST):
    return need(value, int, lambda n: lowest <= n <= highest)


def second(text):
    return round(datetime.fromisoformat(need(text, str, lambda t: t.endswith("Z"))[:-1] + "+00:00").timestamp())


def sums(ways):
    """Return counts or totals as {(class, direction): vehicles}."""
    return {
        (c, d): number(n, 0, 2**53)
        for c, by in need(ways, dict, any_of).items()
        for d, n in need(by, dict, any_of).items()
    }


def store(db, device, line, i):
    """Store an interval unless it is there already, then compare it with its neighbours."""
    need([i["site"], i["device"], i["line"]], list, lambda names: names == [*device, line])
    installation = name(i["installation"]) if i.get("installation") else ""  # none in contract 1.0
    row = [name(i["id"]), *device, line, installation, number(i["seq"], 1)]
    row += [second(i["start"]), second(i["end"])]
    need(row[7] - row[6], int, lambda length: 0 < length <= 86_400)
    if line != FLOWS:  # the ways through a junction have neither
        sums(i["counts"]), sums(i["totals"])
    for (known,) in db.execute("SELECT payload FROM interval WHERE id = ?", row[:1]):
        if json.loads(known) | {"late": 0} != i | {"late": 0}:
            show(db, row, row[0], f"conflict at %s: number {row[5]} has two contents under one id")
        return
    aside = row[7] > time.time() + 300  # nothing is decided by it, but its number is known
    db.execute(f"INSERT INTO interval VALUES ({'?, ' * 10}?)", (*row, time.time(), aside, json.dumps(i)))
    if aside:
        show(db, row, row[0], f"set aside from %s: number {row[5]} ends in the future")
    else:
        compare(db, row, i)


def show(db, row, other, what):
    """Print what was found between an interval and another one, once."""
    if db.execute("INSERT OR IGNORE INTO shown VALUES (?, ?, ?)", (what, *sorted((row[0], other)))).rowcount:
        span = " to ".join(time.strftime("%H:%M:%S", time.gmtime(t)) for t in row[6:8])
        print(f"{what % f'{row[1]}/{row[2]} {row[3]}'}, {span}", flush=True)


def compare(db, row, i):
    """Show what contradicts an interval: overlaps, a number given twice, totals that are not the sum of counts."""
    identifier, *line, installation, seq, start, end = row
    overlap = "id != ? AND end > ? AND end < ? AND start < ?"
    for other, former, n, _ in db.execute(OF_LINE + overlap, (*line, identifier, start, end + 86_400, end)):
        if former != installation:  # not wrong by itself: the clock was set back
            which = "the one without clock_stepped counts, else the later"
            show(db, row, other, f"overlap at %s: installations {former} and {installation}, {which}")
        elif n != seq:
            show(db, row, other, f"conflict at %s: numbers {n} and {seq} overlap, the first received counts")
    if not installation:
        return  # contract 1.0, where numbers begin anew unseen
    series = OF_LINE + "installation = ? AND seq "
    for other, *_ in db.execute(f"{series} = ? AND id != ?", (*line, installation, seq, identifier)):
        show(db, row, other, f"conflict at %s: number {seq} has two contents")
    for side in ("< ? ORDER BY seq DESC LIMIT 5", "> ? ORDER BY seq LIMIT 5"):
        near = db.execute(series + side, (*line, installation, seq)).fetchall()
        nearest = [(i, json.loads(text)) for _, _, n, text in near if n == near[0][2]]  # several after a conflict
        if nearest and not any(is_sum(*sorted(pair, key=lambda interval: interval["seq"])) for pair in nearest):
            numbers = " and ".join(str(n) for n in sorted((seq, near[0][2])))
            show(db, row, near[0][0], f"conflict at %s: totals of numbers {numbers} do not fit the counts")
    if seq == 1 and not is_sum({"seq": 0, "totals": {}}, i):
        show(db, row, identifier, "conflict at %s: totals of number 1 are not its counts")


def is_sum(low, high):
    """Say whether totals rise by the counts, or by more where numbers between the two are missing."""
    before, counts, after = (sums(of.get(key, {})) for of, key in ((low, "totals"), (high, "counts"), (high, "totals")))
    more = [after.get(k, 0) - before.get(k, 0) - counts.get(k, 0) for k in before | counts | after]
    return min(more, default=0) >= 0 and (high["seq"] > low["seq"] + 1 or not any(more))


def send(client, device, command, args):
    """Send a command and return its id."""
    identifier, at = f"example-{secrets.token_hex(8)}", datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    message = {"schema": "edge-app/command/1", "id": identifier, "at": at, "expires": at, "args": args}
    client.publish(f"{client.root}/{'/'.join(device)}/commands/{command}", json.dumps(message), qos=1)
    return identifier


def close_gaps(db, client):
    """Ask for one gap of each device at a time, and devices that are silent for their newest numbers."""
    now = time.time()
    for device in [device for device, at in heard.items() if now - at > SILENCE_S]:
        heard[device] = now
        send(client, device, "ping", {})
    for site, device, line, installation, first, last in db.execute(GAPS, (now - ON_ITS_WAY_S,)).fetchall():
        gap, last = (site, device, line, installation, first), min(last, first + 1439)
        pause, until = rest.get(gap, (ASK_EVERY_S, 0.0))
        if now < until or now < asked.get(gap[:2], (0, 0, 0.0))[2]:
            continue
        rest[gap] = min(2 * pause, PATIENCE_S), now + pause  # it may be on its way, or the device busy
        args = {"line": line, "installation": installation, "from_seq": first, "to_seq": last}
        asked[gap[:2]] = send(client, gap[:2], "resend", args), (*gap, last), now + PATIENCE_S
        print("asked for", device, *args.values(), flush=True)


def note_reply(db, device, command, reply):
    """Remember which numbers will never come, and up to which one there are some."""
    result = reply["result"] if need(reply["ok"], bool, any_of) else {}
    if command == "ping":
        for installation, lines in result.get("installations", {}).items():
            note_newest(db, device, installation, {line: known["newest_seq"] for line, known in lines.items()})
    identifier, (*series, first, last), _ = asked.get(device, ("", (0, 0), 0))
    if command != "resend" or reply["id"] != identifier:
        return
    del asked[device]
    for gap in result.get("missing", []):
        if gap["reason"] != "pending":
            row = *series, number(gap["from_seq"], first, last), number(gap["to_seq"], first, last), name(gap["reason"])
            db.execute("INSERT OR IGNORE INTO gone VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            print("lost:", *row, flush=True)


def note_newest(db, device, installation, newest):
    for line, seq in newest.items():
        row = *device, name(line), name(installation), number(seq, 0), time.time()
        keep = "ON CONFLICT DO UPDATE SET seq = excluded.seq, at = excluded.at WHERE excluded.seq > seq"
        db.execute(f"INSERT INTO newest VALUES (?, ?, ?, ?, ?, ?) {keep}", row)


def note_health(db, device, _, health):
    note_newest(db, device, health["installation"], health["newest_seq"])


def note_status(_db, device, _, status):
    if status["state"] == "online" and "contract" in status:  # what was asked while it was away is lost
        asked.pop(device, None)
        heard[device] = 0.0  # so that it gets a ping
        for gap in [gap for gap in rest if gap[:2] == device]:
            del rest[gap]


def store_flows(db, device, _, flows):
    store(db, device, FLOWS, flows)


HANDLERS = {"counts": store, "flows": store_flows, "replies": note_reply, "health": note_health, "status": note_status}


def main(host, port, database, seconds, tls, prefix):
    db = sqlite3.connect(database)
    db.executescript(TABLES)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "example-consumer", protocol=mqtt.MQTTv5, manual_ack=True)
    client.root = f"{prefix}/traffic/v1".lstrip("/")
    if tls:
        client.tls_set(*tls)

    def on_message(client, _data, message):
        try:
            site, device, kind, *below = message.topic[len(client.root) + 1 :].split("/")
            with db:  # all of a message or nothing
                if message.payload:  # an empty one takes a retained message back
                    HANDLERS[kind](db, (name(site), name(device)), "/".join(below), json.loads(message.payload))
            if heard.get((site, device)):  # 0.0 waits for its ping
                heard[site, device] = time.time()
        except sqlite3.OperationalError as error:  # the disk, not the message: the broker keeps it
            sys.exit(f"cannot store in {database}: {error}")
        except Exception as error:  # whatever one message is, the next one is read
            print(f"ignored, no message of the contract: {message.topic!r:.200} ({error!r:.200})", flush=True)
        client.ack(message.mid, message.qos)  # after it is stored

    topics = [(f"{client.root}/+/+/{topic}", 1) for topic in ("counts/+", "flows", "replies/+", "status", "health")]
    client.on_connect = lambda client, *_: client.subscribe(topics)
    client.on_subscribe = lambda *_: print("subscribed", flush=True)
    client.on_message = on_message
    keep = Properties(PacketTypes.CONNECT)
    keep.SessionExpiryInterval = 7 * 86_400
    end, due = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        try:
            if client.loop(0.1) != mqtt.MQTT_ERR_SUCCESS:
                time.sleep(0.2)
                asked.clear(), rest.clear()
                client.connect(host, port, 30, clean_start=False, properties=keep)
        except OSError:
            continue
        if time.monotonic() > due and client.is_connected():
            due = time.monotonic() + ASK_EVERY_S
            close_gaps(db, client)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host"), parser.add_argument("port", type=int), parser.add_argument("database")
    parser.add_argument("seconds", type=float, nargs="?", default=1e9)
    parser.add_argument("tls", metavar="CA CERT KEY", nargs="*")
    parser.add_argument("--prefix", default="")
    main(**vars(parser.parse_args()))
