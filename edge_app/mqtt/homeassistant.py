"""Announce the device to Home Assistant by one retained message: its entities, and where their values are published.

The form is that of device discovery (home-assistant.io/integrations/mqtt, "Device discovery payload", Home Assistant
2024.11 or newer). Values come from the messages that all subscribers receive; nothing else is published for Home
Assistant. The topic is PREFIX/device/SITE/DEVICE/config, so that a broker can let each device write only its own.

A file in the state folder records what was announced. Without it, entities that are gone could not be removed from Home
Assistant: those of a renamed line, or all of them when the announcement is switched off.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import Device
from edge_app.mqtt.presence import BirthMessage
from edge_app.records import DIRECTIONS, FLOWS, Line
from edge_app.system.files import read_json, write_atomic

log = logging.getLogger(__name__)

ANNOUNCED: Final = "homeassistant.json"
"""Name of the record file in the state folder."""
_ICONS: Final = {
    "car": "mdi:car",
    "motorcycle": "mdi:motorbike",
    "bus": "mdi:bus",
    "truck": "mdi:truck",
    "bicycle": "mdi:bicycle",
}
_EXPIRE_INTERVALS: Final = 3
"""Intervals without a health message after which its values are unknown."""

Platform: TypeAlias = Literal["sensor", "binary_sensor"]


@dataclass(frozen=True, slots=True)
class Entity:
    """One value in Home Assistant.

    topic: where the value is published, below the device's prefix.
    value: Jinja template that takes it out of the message.
    attributes: Jinja template of further attributes.
    The other fields have Home Assistant's own names; empty ones are left out of the announcement.
    """

    name: str
    topic: str
    value: str
    platform: Platform = "sensor"
    unit_of_measurement: str = ""
    state_class: Literal["", "measurement", "total_increasing"] = ""
    device_class: str = ""
    icon: str = ""
    expire_after: int = 0
    entity_category: Literal["", "diagnostic"] = "diagnostic"
    attributes: str = ""

    def component(self, unique_id: str, prefix: str) -> dict[str, Any]:
        """Return the entity's part of the announcement. prefix: the device's topic prefix."""
        topic = f"{prefix}/{self.topic}"
        options = {
            "platform": self.platform,
            "unique_id": unique_id,
            "name": self.name,
            "state_topic": topic,
            "value_template": self.value,
            "unit_of_measurement": self.unit_of_measurement,
            "state_class": self.state_class,
            "device_class": self.device_class,
            "icon": self.icon,
            "expire_after": self.expire_after,
            "entity_category": self.entity_category,
            "json_attributes_topic": topic if self.attributes else "",
            "json_attributes_template": self.attributes,
        }
        return {key: value for key, value in options.items() if value}


def entities_of(
    lines: Sequence[Line], classes: Collection[str], interval_s: float, *, speeds: bool = False
) -> dict[str, Entity]:
    """Return all entities of a device by an id that is unique on it.

    interval_s: seconds from one health message to the next. speeds: they are measured.
    """
    counts = {key: entity for line in lines for key, entity in _line_entities(line, classes)}
    measured = {key: entity for line in lines for key, entity in _speed_entities(line)} if speeds else {}
    flows = dict(_flow_entities([line.id for line in lines if line.enters]))
    return counts | measured | flows | dict(_health_entities(round(_EXPIRE_INTERVALS * interval_s)))


def _speed_entities(line: Line) -> Iterator[tuple[str, Entity]]:
    for direction in DIRECTIONS:
        name = f"{line.id} {line.names.get(direction, direction.replace('_', ' '))} speed"
        mean = (
            f"{{% set sums = value_json.get('speed', {{}}).values() | map(attribute='{direction}')"
            " | select('defined') | list %}{% set n = sums | map(attribute='n') | sum %}"
            "{{ (sums | map(attribute='sum') | sum / n) | round(1) if n else None }}"
        )
        kind = "speed"
        yield (
            f"{line.id}_{direction}_speed",
            Entity(name, f"latest/{line.id}", mean, "sensor", "km/h", "measurement", kind, entity_category=""),
        )


def _flow_entities(arms: Sequence[str]) -> Iterator[tuple[str, Entity]]:
    topic = f"latest/{FLOWS}"
    for origin in arms:
        for to in arms:
            newest = f"{{{{ value_json.flows.get('{origin}', {{}}).get('{to}', {{}}).values() | sum }}}}"
            yield (
                f"flow_{origin}_{to}",
                Entity(f"{origin} to {to}", topic, newest, "sensor", "vehicles", "measurement", entity_category=""),
            )


def _line_entities(line: Line, classes: Collection[str]) -> Iterator[tuple[str, Entity]]:
    # `latest` instead of `counts`: it is retained, and an interval that is delivered late does not overwrite it.
    topic = f"latest/{line.id}"
    for direction in DIRECTIONS:
        name = f"{line.id} {line.names.get(direction, direction.replace('_', ' '))}"
        for label in classes:
            total = f"{{{{ value_json.totals.get('{label}', {{}}).get('{direction}') }}}}"
            icon = _ICONS.get(label, "")
            yield (
                f"{line.id}_{direction}_{label}",
                Entity(f"{name} {label}", topic, total, "sensor", "vehicles", "total_increasing", "", icon, 0, ""),
            )
        newest = f"{{{{ value_json.counts.values() | map(attribute='{direction}') | sum }}}}"
        yield (
            f"{line.id}_{direction}_interval",
            Entity(f"{name} last interval", topic, newest, "sensor", "vehicles", "measurement", entity_category=""),
        )
    coverage = "{{ (value_json.coverage * 100) | round(1) }}"
    yield f"{line.id}_coverage", Entity(f"{line.id} coverage", topic, coverage, "sensor", "%", "measurement")
    flags = "{{ value_json.quality | join(', ') or 'good' }}"
    yield f"{line.id}_quality", Entity(f"{line.id} quality", topic, flags, icon="mdi:eye-check")


def _health_entities(expire_s: int) -> Iterator[tuple[str, Entity]]:
    def entity(name: str, value: str, unit: str = "", kind: str = "", icon: str = "") -> Entity:
        return Entity(
            name,
            "health",
            f"{{{{ {value} }}}}",
            unit_of_measurement=unit,
            state_class="measurement" if unit else "",
            device_class=kind,
            icon=icon,
            expire_after=expire_s,
        )

    yield (
        "problem",
        Entity(
            "Problem",
            "health",
            "{{ 'ON' if value_json.problem else 'OFF' }}",
            platform="binary_sensor",
            device_class="problem",
            expire_after=expire_s,
            attributes="{{ {'problem': value_json.problem} | tojson }}",
        ),
    )
    yield "camera", entity("Camera", "value_json.source.state", icon="mdi:cctv")
    yield "rate", entity("Frame rate", "value_json.frames_per_s", "frames/s", icon="mdi:speedometer")
    yield "inference", entity("Inference", "(value_json.inference_ms or {}).get('p50')", "ms", "duration")
    yield "unsent", entity("Unsent intervals", "value_json.unsent", "intervals", icon="mdi:tray-full")
    yield "temperature", entity("Temperature", "value_json.temperature_c", "°C", "temperature")
    yield "memory", entity("Memory", "value_json.memory_mb", "MB", "data_size")
    yield "disk_free", entity("Free disk", "value_json.disk_free_mb", "MB", "data_size")


@dataclass(frozen=True, slots=True)
class _Record:
    """Announced entities as the record file holds them: the topic, and the platform of each entity by its id."""

    topic: str
    platforms: Mapping[str, str]


class Announcement:
    """Announcement of a device to Home Assistant; without entities it removes what was announced before.

    prefix: Home Assistant's discovery prefix.
    record_file: remembers what was announced.
    All but the constructor belongs to one thread.
    """

    def __init__(self, device: Device, entities: Mapping[str, Entity], *, prefix: str, record_file: Path) -> None:
        self._device, self._entities, self._file = device, entities, record_file
        self._suffix = f"/device/{device.site}/{device.device}/config"
        self._topic = prefix + self._suffix

    def birth_messages(self) -> Sequence[BirthMessage]:
        """Return the messages to publish at a connect; none when there is nothing to announce or remove."""
        before = self._read()
        if not self._entities:
            return [BirthMessage(_removal(before.topic), self._delete_record)] if before else []
        now: dict[str, str] = {key: entity.platform for key, entity in self._entities.items()}
        removals: list[BirthMessage] = []
        gone: dict[str, str] = {}
        if before is not None and before.topic != self._topic:
            removals.append(BirthMessage(_removal(before.topic), lambda: None))
        else:
            gone = {key: platform for key, platform in (before.platforms if before else {}).items() if key not in now}
            # Recorded before it is published: after a crash in between, it is still known what may have to be removed.
            self._write(_Record(self._topic, gone | now))
        message = Message(self._topic, self._payload(gone), qos=1, retained=True)
        return [*removals, BirthMessage(message, lambda: self._write(_Record(self._topic, now)))]

    def _payload(self, gone: Mapping[str, str]) -> bytes:
        d = self._device
        identifier = f"edge-app_{d.site}_{d.device}"  # unique, since names contain no underscore
        document = {
            "device": {
                "identifiers": [identifier],
                "name": f"{d.site}/{d.device}",
                "manufacturer": "edge-app",
                "model": "roadside vehicle counter",
                "sw_version": d.version,
            },
            "origin": {"name": "edge-app", "sw_version": d.version},
            "availability": [
                {
                    "topic": f"{d.prefix}/status",
                    "value_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}",
                }
            ],
            "components": {key: {"platform": platform} for key, platform in gone.items()}
            | {key: entity.component(f"{identifier}_{key}", d.prefix) for key, entity in self._entities.items()},
            "qos": 1,
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    def _read(self) -> _Record | None:
        """Return the record, or None when there is none or when it is of another site or device.

        The broker may not let this device remove the entities of another one.
        """
        try:
            found = read_json(self._file)
            platforms = {str(key): str(value) for key, value in found["platforms"].items()}
            record = _Record(str(found["topic"]), platforms)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read (%s); Home Assistant may keep entities that are gone", self._file, error)
            return None
        return record if record.topic.endswith(self._suffix) else None

    def _write(self, record: _Record) -> None:
        if self._read() == record:
            return
        try:
            content = json.dumps({"topic": record.topic, "platforms": record.platforms})
            write_atomic(self._file, content, mode=0o600)
        except OSError as error:
            log.warning("%s cannot be written (%s); announcing to Home Assistant anyway", self._file, error.strerror)

    def _delete_record(self) -> None:
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed (%s)", self._file, error.strerror)


def _removal(topic: str) -> Message:
    """Return the message that removes everything announced on the topic from Home Assistant."""
    return Message(topic, b"", qos=1, retained=True)
