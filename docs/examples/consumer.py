"""Store every interval once and ask for those that are missing: consumer.py HOST PORT DATABASE [SECONDS [CA CERT KEY]].

It needs paho-mqtt and a broker that lets it write `traffic/v1/+/+/commands/resend`; CA, CERT and KEY for one with TLS.
"""

import json
import secrets
import sqlite3
import sys
import time
from datetime import datetime, timezone

from paho.mqtt import client as mqtt
from paho.mqtt.properties import PacketTypes, Properties

TABLE = """CREATE TABLE IF NOT EXISTS interval (id TEXT PRIMARY KEY, site, device, line, installation, seq INTEGER,
    start, end, received, payload); CREATE INDEX IF NOT EXISTS number ON interval (installation, line, seq);
    CREATE TABLE IF NOT EXISTS gone (site, device, line, installation, first INTEGER, last INTEGER, reason)"""
GAPS = """WITH known AS (SELECT site, device, line, installation, seq AS first, seq AS last FROM interval
    WHERE installation != '' UNION SELECT site, device, line, installation, first, last FROM gone)
    SELECT site, device, line, installation, before + 1, first - 1 FROM (SELECT *, lag(last, 1, 0) OVER
    (PARTITION BY site, device, line, installation ORDER BY first) AS before FROM known) WHERE first > before + 1"""
ASK_EVERY_S, PATIENCE_S = 2.0, 600.0
asked = {}  # id of a command -> when, and what it asks for


def store(db, message):
    """Store an interval unless it is there already, and print every conflict."""
    i = json.loads(message.payload)
    if datetime.fromisoformat(i["end"].replace("Z", "+00:00")).timestamp() > time.time() + 300:
        print("set aside, its end lies in the future:", i["id"], flush=True)
        return
    key = i["site"], i["device"], i["line"], i.get("installation", "")
    same = "site = ? AND device = ? AND line = ? AND installation = ? AND id != ?"
    for what, values in (("seq = ?", [i["seq"]]), ("start < ? AND end > ?", [i["end"], i["start"]])):
        for (other,) in db.execute(f"SELECT id FROM interval WHERE {same} AND {what}", (*key, i["id"], *values)):
            print(f"conflict ({what}): {i['id']} and {other}", flush=True)
    row = i["id"], *key, i["seq"], i["start"], i["end"], time.time(), message.payload
    db.execute("INSERT OR IGNORE INTO interval VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    db.commit()


def close_gaps(db, client):
    """Ask for the first gap of each line, one command for a device at a time."""
    waiting = {device for at, device, _ in asked.values() if time.time() - at < PATIENCE_S}
    for site, device, line, installation, first, last in db.execute(GAPS).fetchall():
        if (site, device) in waiting:
            continue
        waiting.add((site, device))
        identifier, last = f"example-{secrets.token_hex(8)}", min(last, first + 1439)
        now = datetime.now(timezone.utc)
        args = {"line": line, "installation": installation, "from_seq": first, "to_seq": last}
        at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        command = {"schema": "edge-app/command/1", "id": identifier, "at": at, "expires": at, "args": args}
        asked[identifier] = time.time(), (site, device), args
        print("asked for", device, *args.values(), flush=True)
        client.publish(f"traffic/v1/{site}/{device}/commands/resend", json.dumps(command), qos=1)


def note_reply(db, message):
    """Remember what will never come; a device that was busy or came back is asked again."""
    reply = json.loads(message.payload)
    _, device, args = asked.pop(reply["id"], (0, None, None))
    if args and reply["ok"]:
        for gap in reply["result"]["missing"]:
            if gap["reason"] != "pending":
                row = *device, args["line"], args["installation"], gap["from_seq"], gap["to_seq"], gap["reason"]
                db.execute("INSERT INTO gone VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                print("lost:", *row, flush=True)
        db.commit()


def main(host, port, database, seconds=1e9, *tls):
    db = sqlite3.connect(database)
    db.executescript(TABLE)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "example-consumer", protocol=mqtt.MQTTv5, manual_ack=True)
    if tls:
        client.tls_set(*tls)

    def on_message(client, _data, message):
        handle = {"counts": store, "replies": note_reply}.get(message.topic.split("/")[4])
        try:
            if handle:
                handle(db, message)
        except (ValueError, KeyError, TypeError) as error:
            print(f"ignored, no message of the contract: {message.topic} ({error!r})", flush=True)
        if message.topic.endswith("/status") and json.loads(message.payload or b"{}").get("state") == "online":
            asked.clear()  # a command that was sent while the device was away is lost
        client.ack(message.mid, message.qos)  # after it is stored

    client.on_connect = lambda client, *_: client.subscribe(
        [(f"traffic/v1/+/+/{topic}", 1) for topic in ("counts/+", "replies/resend", "status")]
    )
    client.on_subscribe = lambda *_: print("subscribed", flush=True)
    client.on_message = on_message
    keep = Properties(PacketTypes.CONNECT)
    keep.SessionExpiryInterval = 7 * 86_400
    end, due = time.monotonic() + float(seconds), 0.0
    while time.monotonic() < end:
        try:
            if client.loop(0.1) != mqtt.MQTT_ERR_SUCCESS:
                time.sleep(0.2)
                asked.clear()
                client.connect(host, int(port), 30, clean_start=False, properties=keep)
        except OSError:
            continue
        if time.monotonic() > due and client.is_connected():
            due = time.monotonic() + ASK_EVERY_S
            close_gaps(db, client)


if __name__ == "__main__":
    main(*sys.argv[1:])
