"""Home Assistant learns of the device by one retained message: its entities, and where their values are published.

The form is that of device discovery (home-assistant.io/integrations/mqtt, "Device discovery payload", Home Assistant
2024.11 or newer). Values come from the messages that everybody receives; nothing else is published for it. The topic is
PREFIX/device/SITE/DEVICE/config, so that a broker can let each device write its own alone.

What has been announced is noted in a file of the state folder: only so can entities that are gone, of a line that was
renamed for instance, or all of them when it is switched off, be taken back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from edge_app.mqtt.connection import Message
from edge_app.mqtt.identity import Device
from edge_app.mqtt.publisher import BirthMessage
from edge_app.records import DIRECTIONS, Line
from edge_app.system.files import write_atomic

log = logging.getLogger(__name__)

ANNOUNCED: Final = "homeassistant.json"
"""Name of the note in the state folder."""
_ICONS: Final = {
    "car": "mdi:car",
    "motorcycle": "mdi:motorbike",
    "bus": "mdi:bus",
    "truck": "mdi:truck",
    "bicycle": "mdi:bicycle",
}
_MISSED: Final = 3
"""A health value is unknown again after so many intervals without one."""

Platform: TypeAlias = Literal["sensor", "binary_sensor"]


@dataclass(frozen=True, slots=True)
class Entity:
    """One value in Home Assistant. topic: where it is published, below the device's prefix. value: a Jinja template
    over that message. The rest goes by Home Assistant's own names; what is empty is left out."""

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
        """As Home Assistant reads it."""
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


def entities_of(lines: Sequence[Line], classes: Collection[str], interval_s: float) -> dict[str, Entity]:
    """All of a device, by an id that is unique on it."""
    counted = {key: entity for line in lines for key, entity in _of_line(line, classes)}
    return counted | dict(_of_health(round(_MISSED * interval_s)))


def _of_line(line: Line, classes: Collection[str]) -> Iterator[tuple[str, Entity]]:
    # latest, not counts: it is retained, and what is delivered late never overwrites what is newer.
    topic = f"latest/{line.id}"
    for way in DIRECTIONS:
        said = f"{line.id} {line.names.get(way, way.replace('_', ' '))}"
        for label in classes:
            total = f"{{{{ value_json.totals.get('{label}', {{}}).get('{way}') }}}}"
            icon = _ICONS.get(label, "")
            yield (
                f"{line.id}_{way}_{label}",
                Entity(f"{said} {label}", topic, total, "sensor", "vehicles", "total_increasing", "", icon, 0, ""),
            )
        newest = f"{{{{ value_json.counts.values() | map(attribute='{way}') | sum }}}}"
        yield (
            f"{line.id}_{way}_interval",
            Entity(f"{said} last interval", topic, newest, "sensor", "vehicles", "measurement", entity_category=""),
        )
    cover = "{{ (value_json.coverage * 100) | round(1) }}"
    yield f"{line.id}_coverage", Entity(f"{line.id} coverage", topic, cover, "sensor", "%", "measurement")
    flags = "{{ value_json.quality | join(', ') or 'good' }}"
    yield f"{line.id}_quality", Entity(f"{line.id} quality", topic, flags, icon="mdi:eye-check")


def _of_health(expire_s: int) -> Iterator[tuple[str, Entity]]:
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
class _Noted:
    """What was announced on which topic: platforms by id."""

    topic: str
    platforms: Mapping[str, str]


class Announcement:
    """What to say to Home Assistant at each connect; without entities, that there are none any more.

    note: the file that remembers what was announced. All but the constructor belongs to one thread.
    """

    def __init__(self, device: Device, entities: Mapping[str, Entity], *, prefix: str, note: Path) -> None:
        self._device, self._entities, self._note = device, entities, note
        self._place = f"/device/{device.site}/{device.device}/config"
        self._topic = prefix + self._place

    def birth_messages(self) -> Sequence[BirthMessage]:
        """Empty where nothing is announced and nothing was."""
        before = self._noted()
        if not self._entities:
            return [BirthMessage(_empty(before.topic), self._forget)] if before else []
        now: dict[str, str] = {key: entity.platform for key, entity in self._entities.items()}
        gone: dict[str, str] = {}
        if before is None or before.topic == self._topic:
            gone = {key: platform for key, platform in (before.platforms if before else {}).items() if key not in now}
            # Before it is said: after a crash in between, it is known all the same what may have to be taken back.
            self._write(_Noted(self._topic, gone | now))
        message = Message(self._topic, self._payload(gone), qos=1, retained=True)
        announced = BirthMessage(message, lambda: self._write(_Noted(self._topic, now)))
        if before is not None and before.topic != self._topic:
            return [BirthMessage(_empty(before.topic), lambda: None), announced]
        return [announced]

    def _payload(self, gone: Mapping[str, str]) -> bytes:
        d = self._device
        own = f"edge-app_{d.site}_{d.device}"  # names have no underscore, so no two devices share one
        document = {
            "device": {
                "identifiers": [own],
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
            | {key: entity.component(f"{own}_{key}", d.prefix) for key, entity in self._entities.items()},
            "qos": 1,
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    def _noted(self) -> _Noted | None:
        """None too for what another site or device announced: our login may not speak for it."""
        try:
            found = json.loads(self._note.read_text("utf-8"))
            noted = _Noted(str(found["topic"]), {str(key): str(value) for key, value in found["platforms"].items()})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read (%s); what Home Assistant knew before is not taken back", self._note, error)
            return None
        return noted if noted.topic.endswith(self._place) else None

    def _write(self, noted: _Noted) -> None:
        if self._noted() == noted:
            return
        try:
            write_atomic(self._note, json.dumps({"topic": noted.topic, "platforms": noted.platforms}))
        except OSError as error:
            log.warning("%s cannot be written (%s); Home Assistant is told all the same", self._note, error.strerror)

    def _forget(self) -> None:
        try:
            self._note.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed (%s)", self._note, error.strerror)


def _empty(topic: str) -> Message:
    """What makes Home Assistant forget everything that was announced there."""
    return Message(topic, b"", qos=1, retained=True)
