"""Check what the city side needs: database, archive, room, broker and queue, certificates, the page and its tiles."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from edge_app.assembly.broker import endpoints_of
from edge_app.checks.broker import try_broker
from edge_app.checks.sentence import as_sentence
from edge_app.city.config import CityConfig, database_url, login_files
from edge_app.city.database.archived import all_files
from edge_app.city.database.engine import Tables, state_of
from edge_app.city.database.lost import lost_files
from edge_app.city.running import Running, ask_running
from edge_app.city.service import client_id_of, open_queue, opened, queue_addresses, timing_of
from edge_app.city.tiles import read_tiles
from edge_app.errors import ConfigError, StoreError
from edge_app.monitoring.certificate import expiry_warning
from edge_app.web.line_check import Finding

_ASK_S: Final = 3.0
_LOGIN_S: Final = 5.0
_PROTOCOLS: Final = {"nats": "NATS", "rabbitmq": "AMQP"}
_ROOM_MB: Final = 2000.0
"""Free room, MB, below which a thousand lines fill a disk within weeks."""
_NOT_SHOWN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""Places that ProtectHome and PrivateTmp of the unit hide."""


def findings(config: CityConfig, folder: Path) -> Iterator[Finding]:
    """Yield one finding for each part, and change nothing. folder: of the configuration's file."""
    database = _database(config, folder)
    yield database
    if database.level == "ok":
        yield _archive(config, folder)
    if config.database.url.startswith("sqlite"):
        yield _room(folder / config.database.url.removeprefix("sqlite:///"))
    running = ask_running(config.page.host, config.page.port, timeout=_ASK_S) if config.page.port else None
    yield _broker(config, running)
    if config.broker.kind != "mqtt":
        yield _queue(config)
    files = [file for file in (config.mqtt.cert_file, config.mqtt.ca_file) if file]
    if unread := [file for file in files if hidden(file)] if (folder / "credentials").is_dir() else []:
        sentence = f"{unread[0]}: the user of the service cannot read it; copy it to {folder}, readable by all."
        yield Finding("FAIL", "certificates", sentence)
    elif files:
        warning = expiry_warning([*dict.fromkeys((*files, *login_files(folder)))], time.time())
        yield Finding("warn" if warning else "ok", "certificates", as_sentence(warning or "none ends within 30 days"))
    yield _page(config, running)
    if config.page.enabled and config.page.tiles:
        yield _tiles(config.page.tiles)
    if config.signing.key_file:
        yield _signing(config, config.signing.key_file, folder)


def _database(config: CityConfig, folder: Path) -> Finding:
    try:
        sentence, tables = state_of(database_url(config.database, folder))
    except (ConfigError, StoreError) as error:
        return Finding("FAIL", "database", as_sentence(error))
    return Finding("ok" if tables is Tables.READY else "warn", "database", as_sentence(sentence))


def _archive(config: CityConfig, folder: Path) -> Finding:
    """Judge the archive at first sight, by the sizes of its files and what was found when they were read last."""
    try:
        with opened(config, folder) as database, database.connect() as connection:
            files, lost = all_files(connection), len(lost_files(connection))
    except StoreError as error:
        return Finding("FAIL", "archive", as_sentence(error))
    days, archive = config.archive.minutes_days, database.archive
    if archive is None and not files:
        sentence = f"none: intervals stay in the database; archive.folder moves those that are older than {days} days."
        return Finding("ok", "archive", sentence)
    if archive is None:
        sentence = f"{len(files)} files have intervals that left the database: name their folder in archive.folder."
        return Finding("FAIL", "archive", sentence)
    bad = [file.name for file, _, problem in files if problem or archive.looks_well(file)]
    if bad:
        sentence = f"{len(bad)} of {len(files)} files in {archive.folder} are missing or damaged, such as {bad[0]}"
        return Finding("FAIL", "archive", f"{sentence}: `edge-app city archive --verify` names all.")
    size = sum(file.size for file, *_ in files) / 1e6
    given_up = f"; {lost} are lost for good" if lost else ""
    return Finding("ok", "archive", f"{len(files)} files, {size:.1f} MB, in {archive.folder}{given_up}.")


def _room(database: Path) -> Finding:
    # its folder is made at the first start, and is not open to everybody then
    folder = next(one for one in database.absolute().parents if os.access(one, os.F_OK))
    free = shutil.disk_usage(folder).free / 1e6
    sentence = f"{free:.0f} MB are free where the database is; a line needs some 80 MB a year."
    return Finding("ok" if free > _ROOM_MB else "warn", "room", sentence)


def hidden(file: Path) -> bool:
    """Return True for a file that the user of the installed service cannot read: by its mode, or by the unit."""
    file = file.resolve()
    if any(file.is_relative_to(place) for place in _NOT_SHOWN):
        return True
    try:
        passed = all(folder.stat().st_mode & stat.S_IXOTH for folder in file.parents)
        return not (passed and file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return True


def _broker(config: CityConfig, running: Running | None) -> Finding:
    """Try the broker as the worker connects, or ask the worker that runs.

    A broker may bind client ids to certificates or user names (mosquitto's use_username_as_clientid): whoever logs in
    as the worker then is the worker, ends its connection, and with a clean session drops all that waits for it.
    """
    mqtt, endpoints, plain = config.mqtt, endpoints_of(config.mqtt), config.broker.kind == "mqtt"
    if not (mqtt.cert_file or mqtt.username):
        return try_broker(endpoints, f"{client_id_of(config)}-check", mqtt.protocol, wants_mqtt_5=plain)
    if running is not None and running.there:
        return _asked(running, " or ".join(map(str, endpoints)))
    kept = timing_of(config) if plain else None
    return try_broker(endpoints, client_id_of(config), mqtt.protocol, kept, wants_mqtt_5=plain)


def _queue(config: CityConfig) -> Finding:
    """Log in to NATS or RabbitMQ as a worker does; without topics nothing is made there."""
    try:
        queue = open_queue(config, ())
    except ConfigError as error:
        return Finding("FAIL", "queue", as_sentence(error))
    with closing(queue):
        deadline = time.monotonic() + _LOGIN_S
        while queue.problem and time.monotonic() < deadline:
            queue.read(1, 0.2)
        if queue.problem:
            return Finding("FAIL", "queue", f"{as_sentence(queue.problem.removeprefix('broker '))} See broker.port.")
    where = " or ".join(map(str, queue_addresses(config)))
    return Finding("ok", "queue", f"{where} accepts us with {_PROTOCOLS[config.broker.kind]}.")


def _asked(running: Running, where: str) -> Finding:
    """Return what the running service says of its connection to the broker. where: its configured addresses."""
    if running.broker:
        sentence = f"the running service is connected to its broker; stop it to try {where} anew."
        return Finding("ok", "broker", sentence)
    if running.broker is None:
        sentence = "the running service has the connection and cannot say more; stop it to check the broker."
        return Finding("warn", "broker", sentence)
    return Finding("FAIL", "broker", "the running service has no connection to its broker: its log says why.")


def _page(config: CityConfig, running: Running | None) -> Finding:
    where = f"{config.page.host} port {config.page.port}"
    if running is not None and running.there:
        without = "" if config.page.enabled else ", without a page (page.enabled = false)"
        return Finding("ok", "page", f"the running service answers at {where}{without}.")
    with socket.socket(socket.AF_INET6 if ":" in config.page.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.page.host, config.page.port))
        except OSError as error:
            return Finding("warn", "page", f"{where} cannot be listened on ({error.strerror}): see page.port.")
    return Finding("ok", "page", f"{where} is free.")


def _signing(config: CityConfig, key_file: Path, folder: Path) -> Finding:
    """Judge the key by which the office signs, as far as whoever asks may read it."""
    handed = folder.absolute() / "office.key"
    if (folder / "credentials").is_dir() and key_file.absolute() != handed:
        sentence = f"the office's unit hands over {handed} alone: move the key there, and name it in signing.key_file."
        return Finding("warn", "signing", sentence)
    public = _public_key(key_file)
    if public and config.signing.public_key not in (None, public):
        sentence = f"signing.public_key is not that of {key_file}, which is {public}: the office will not start."
        return Finding("FAIL", "signing", sentence)
    if config.signing.public_key:
        return Finding("ok", "signing", "signing.public_key tells what the office has set from what others have.")
    sentence = (
        "signing.public_key is not named, so nobody checks who has signed what the page shows as the office's; "
        "`edge-app fleet key FILE` prints it."
    )
    return Finding("warn", "signing", sentence)


def _public_key(key_file: Path) -> str:
    """Return the public part of a key, "" where this user may not read it, or where it does not lie here now."""
    from edge_app.system.signatures import read_key

    try:
        return read_key(key_file).public_key if os.access(key_file, os.R_OK) else ""
    except ConfigError:
        return ""


def _tiles(path: Path) -> Finding:
    try:
        tiles = read_tiles(path)
    except ConfigError as error:
        return Finding("FAIL", "tiles", as_sentence(error))
    return Finding("ok", "tiles", f"{path} has {tiles.kind} tiles of zooms {tiles.min_zoom} to {tiles.max_zoom}.")
