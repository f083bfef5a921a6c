"""A city with some devices, orders and a roll-out in its database, as ingest and the office's process leave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import update

from edge_app.city.database import orders
from edge_app.city.database.engine import Connection, Database
from edge_app.city.database.fleet import note_config, note_health, note_meta, note_status
from edge_app.city.database.rollouts import Kept, add_rollout, change_rollout
from edge_app.city.database.tables import DEVICE
from edge_app.mqtt.device_messages import ConfigMeta, Health, Meta, Status
from edge_app.mqtt.examples import EXAMPLES
from edge_app.rollout.leading import Event, Evidence, Rollout
from edge_app.rollout.members import Member
from edge_app.rollout.plan import Cascade
from edge_app.rollout.wanted_detector import WantedDetector
from edge_app.rollout.wanted_release import WantedRelease

DEVICE_NAME = ("harbour", "pole-7")
CANDIDATE = "0c9e77a10ab3" + "5d" * 26
OLD, NEW = "e5f5da65719a", CANDIDATE[:12]
NAMES = {OLD: "roads-a", NEW: "roads-b"}


def add_device(
    connection: Connection,
    now: int,
    name: tuple[str, str] = DEVICE_NAME,
    *,
    state: str = "online",
    version: str = "0.1.0",
    model: str = OLD,
    report: Mapping[str, Any] | None = None,
    desired: Mapping[str, Any] | None = None,
    **health: Any,
) -> None:
    """Note a device as if it had told status, meta, health and a report. report, health: values in its messages."""
    at = datetime.fromtimestamp(now, timezone.utc)
    status = {"state": state, "at": at, "boot_id": "b", "version": version}
    told = {"site": name[0], "device": name[1], "version": version, "model": model, "model_name": NAMES[model]}
    meta = Meta.model_validate({**EXAMPLES["meta"], **told})
    note_status(connection, {name: Status.model_validate(status)}, now)
    note_meta(connection, {name: meta}, now, {})
    note_health(connection, {name: Health.model_validate({**EXAMPLES["health"], "at": at, **health})}, now)
    values: dict[str, Any] = {"desired": desired}
    if report is not None:
        values["reported"] = {**EXAMPLES["config_reported"], **report}
    connection.execute(update(DEVICE).where(DEVICE.c.topic_site == name[0], DEVICE.c.device == name[1]).values(values))


def add_config(connection: Connection, config: str, start: tuple[float, float], interval_s: int = 60) -> None:
    """Note the text of a configuration of the device. start: of its line."""
    example = {key: EXAMPLES["meta"][key] for key in EXAMPLES["meta"] if key in ConfigMeta.model_fields}
    text = {
        **example,
        "schema": "edge-app/meta/1",
        "config": config,
        "counting": {"counting": {"interval_s": interval_s}},
        "lines": [{**EXAMPLES["meta"]["lines"][0], "start": list(start)}],
    }
    note_config(connection, {(*DEVICE_NAME, config): ConfigMeta.model_validate(text)})


def begin_office(connection: Connection, now: int) -> None:
    """Let it look as if the office's process ran."""
    assert orders.take_over(connection, orders.read_holder(connection), "test", now)


def add_stopped_rollout(connection: Connection, now: int) -> Kept:
    """Keep a roll-out that the rule has stopped in its first group of two."""
    wanted = WantedDetector("detector.fetched", CANDIDATE)
    bundle = {"url": "https://bundles.example/b.zip", "bytes": 4_000_000, "sha256": "ab" * 32}
    begun = Rollout("roads-b", wanted, bundle, Cascade(), "running", 0, (now,), now, "it has begun", "user anna", now)
    members = [
        Member("harbour/pole-7", 0, "running", changed=now),
        Member("harbour/pole-8", 0, "back", "took it back by itself: frames no longer come", now),
        *(Member(f"harbour/pole-{n}", 1, changed=now) for n in range(9, 19)),
    ]
    kept = add_rollout(connection, begun, members, Event("started", "user anna", "it has begun"))
    why = "of all classes it counts 10.4% fewer than before (4,210 against 4,699)"
    evidence = Evidence("stop", (why,), 61, {"all classes": (4210, 4699), "car": (3900, 4300)}, ("truck",), now)
    stopped = replace(begun, state="taking_back", why=why, who="rule", changed=now + 60)
    assert change_rollout(connection, kept, stopped, [Event("stopped", "rule", why)], now + 60, evidence)
    return kept


def add_release_rollout(connection: Connection, now: int) -> Kept:
    """Keep a roll-out of a release that runs in its first group of two."""
    sha256 = "ab" * 32
    sums = f"{sha256}  edge-app-0.2.0-aarch64.tar.xz\n"
    bundle = {"url": "https://bundles.example/r.tar.xz", "bytes": 40_000_000, "sha256": sha256, "sums": sums}
    wanted = WantedRelease(sha256, "0.2.0")
    begun = Rollout("next", wanted, bundle, Cascade(), "running", 0, (now,), now, "it has begun", "user anna", now)
    members = [Member("harbour/pole-7", 0, "running", changed=now), Member("harbour/pole-8", 1, changed=now)]
    kept = add_rollout(connection, begun, members, Event("started", "user anna", "it has begun"))
    evidence = Evidence("wait", (), 4, {"all classes": (910, 903.5)}, ("all classes",), now)
    assert change_rollout(connection, kept, begun, [], now, evidence)
    return kept


def answer(database: Database, order: int, state: str, text: str, now: int, picture: bytes = b"") -> None:
    """Let the office's process have carried out an order. picture: what the device has sent."""
    with database.begin() as connection:
        orders.move_order(connection, order, state, text, now)  # type: ignore[arg-type]
        if picture:
            orders.keep_file(connection, order, "snapshot.jpg", picture)
