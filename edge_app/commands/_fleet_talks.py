"""Note in the audit what is about to be sent to devices, send it, and tell what each answers."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.commands._city_inventory import person
from edge_app.errors import reason_of

if TYPE_CHECKING:
    from edge_app.city.config import CityConfig
    from edge_app.city.conversation import Conversation, Outcome
    from edge_app.city.office import Office


def audit(
    arguments: argparse.Namespace, config: CityConfig, entries: Sequence[tuple[str, str, Mapping[str, Any]]]
) -> None:
    """Note what is about to be sent: without an entry nothing goes out. Raises StoreError."""
    from edge_app.city.database.audit import note_change
    from edge_app.city.service import opened

    who, now = person(), time.time()
    with opened(config, arguments.config.parent) as database, database.begin() as connection:
        for action, subject, change in entries:
            note_change(connection, now, who, action, subject, change)


def lead(office: Office, talks: Sequence[Conversation], wait_s: float, folder: Path) -> int:
    """Lead all conversations to their ends; return 0 when each device did what it was asked, else 1.

    wait_s: longest time without a word of a device. folder: for what devices send. Raises BrokerError.
    """
    failed = 0

    def tell(talk: Conversation, outcome: Outcome) -> None:
        nonlocal failed
        name = talk.device.removeprefix(f"{office.root}/")
        text, ok = outcome.text, outcome.ok
        if ok and outcome.name:
            try:
                text = f"{_kept(folder, name, outcome)}, {text}"
            except OSError as error:
                text, ok = f"{folder}: cannot be written ({reason_of(error)})", False
        failed += not ok
        print(f"{name}: {text}", flush=True)

    office.lead(talks, wait_s, tell)
    return 1 if failed else 0


def _kept(folder: Path, device: str, outcome: Outcome) -> Path:
    """Write what a device has sent, and return the file, whose name it does not choose. Raises OSError."""
    kind = outcome.name.rpartition(".")[2]
    ending = kind if kind.isalnum() and len(kind) <= 4 else "bin"
    path = folder / f"{device.replace('/', '.')}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.{ending}"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(outcome.content)
    return path
