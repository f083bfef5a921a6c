"""Find the office's layer: the signed message in the state folder, checked with the keys that the file has now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_app.config.model import Config, DeviceConfig, StoreConfig
from edge_app.config.office import OfficeConfig
from edge_app.config.office_document import Document, read_document
from edge_app.errors import ConfigError
from edge_app.system.office_state import read_state
from edge_app.system.signed import is_from, read_signed
from edge_app.system.topics import DESIRED, device_topic


@dataclass(frozen=True, slots=True)
class OfficeAccess:
    """Where the messages of the office lie, and how they are checked.

    folder: the state folder. topic: of config/desired, as signatures have it. keys: name -> public key; without one
    nothing of the office is used.
    """

    folder: Path
    topic: str
    keys: Mapping[str, str]


def access_of(config: Config) -> OfficeAccess:
    """Return how the office's messages to the device of a configuration are checked."""
    return _access(config.mqtt.prefix, config.device, config.store, config.office)


def access_in(tables: Mapping[str, Any], folder: Path) -> OfficeAccess | None:
    """Return the same from the tables of a file in `folder`; None without keys, or where these tables are not valid.

    Only the file says these things, since no later layer may set them.
    """
    try:
        office = OfficeConfig.model_validate(tables.get("office", {}))
        if not office.keys:
            return None
        device = DeviceConfig.model_validate(tables.get("device", {}))
        store = StoreConfig.model_validate(tables.get("store", {}), context={"folder": folder})
    except ValidationError:
        return None  # whoever uses the configuration is told
    mqtt = tables.get("mqtt")
    prefix = mqtt.get("prefix", "") if isinstance(mqtt, Mapping) else ""
    return _access(prefix, device, store, office)


def _access(prefix: str, device: DeviceConfig, store: StoreConfig, office: OfficeConfig) -> OfficeAccess:
    topic = f"{device_topic(prefix, device.site, device.device)}/{DESIRED}"
    return OfficeAccess(store.folder, topic, office.by_name)


def read_message(access: OfficeAccess, message: str) -> Document:
    """Return what a message of the office says. message: as it came over MQTT.

    Raises ConfigError: when it is none that a key of this device has signed for it, or when its document is wrong.
    """
    try:
        signed = read_signed(json.loads(message))
    except (ValueError, RecursionError, MemoryError):
        signed = None
    if signed is None:
        raise ConfigError("the message is no JSON object of the schema edge-app/signed/1")
    if signed.key not in access.keys:
        raise ConfigError(f"the message is signed by the key {signed.key}, which this device does not know")
    try:
        from edge_app.system.signatures import verify  # loads its library, so only when there is something to verify
    except ImportError:
        raise ConfigError("signatures cannot be checked: apt install python3-cryptography") from None
    if not is_from(signed, access.topic, access.keys, verify):
        raise ConfigError("the signature is not right for this device: it was made for another one, or was changed")
    return read_document(signed.document, signed.key)


def office_layer(access: OfficeAccess) -> tuple[Document | None, str]:
    """Return the layer in use, and one sentence on why it is not used where it should be, "" otherwise.

    It never raises: a configuration is read by everybody, and this file is the service's alone.
    """
    try:
        used = read_state(access.folder).used
        return (read_message(access, used), "") if used else (None, "")
    except PermissionError:
        return None, f"{access.folder} may not be read by this user, so the office's layer is not seen: use sudo"
    except OSError as error:
        return None, f"the office's layer cannot be read ({error.strerror or error}), and is not used"
    except ConfigError as error:
        return None, f"the office's layer is not used: {'; '.join(error.problems)}"
    except ValueError as error:
        return None, f"the office's layer is not used: {error}"
