"""Generate the machine-readable MQTT contract from the payload models: JSON Schemas and an AsyncAPI 3 document."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from edge_app.mqtt.identity import ROOT
from edge_app.mqtt.messages import CountsMessage, Health, Meta, Payload, Status

_CHANNELS: Final[tuple[tuple[str, type[Payload], int, bool, str], ...]] = (
    ("status", Status, 1, True, "Presence of the device; offline is its last will"),
    ("meta", Meta, 1, True, "Sent at every connect: position, lines, classes and software of the device"),
    ("counts/{line}", CountsMessage, 1, False, "One message for each closed interval, zeros included"),
    ("latest/{line}", CountsMessage, 1, True, "Only the newest closed interval"),
    ("health", Health, 0, False, "Sent every interval: rates, queue, temperature, memory, faults"),
)

"""Topic below the device's prefix, payload, QoS, retained, summary."""


def schemas() -> dict[str, Any]:
    """Return a self-contained JSON Schema (2020-12) for each payload, by channel name: status, meta, counts ..."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {
        address.partition("/")[0]: {"$schema": dialect, **model.model_json_schema(mode="serialization")}
        for address, model, *_ in _CHANNELS
    }


def asyncapi(version: str) -> dict[str, Any]:
    """Return the whole contract as an AsyncAPI 3.0 document. version: of the software."""
    channels, operations, messages = {}, {}, {}
    for address, model, qos, retain, summary in _CHANNELS:
        name = address.partition("/")[0]
        channels[name] = _channel(address, model, summary)
        operations[f"send_{name}"] = _operation(name, qos, retain, summary)
        messages[model.__name__] = {
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "edge-app: roadside vehicle counts", "version": version},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": _definitions("#/components/schemas/{model}")},
    }


def _channel(address: str, model: type[Payload], summary: str) -> dict[str, Any]:
    address = f"{ROOT}/{{site}}/{{device}}/{address}"
    return {
        "address": address,
        "description": summary,
        "parameters": {name: {"description": f"The {name}'s id"} for name in re.findall(r"{(\w+)}", address)},
        "messages": {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"}},
    }


def _operation(name: str, qos: int, retain: bool, summary: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": summary,
        "bindings": {"mqtt": {"qos": qos, "retain": retain, "bindingVersion": "0.2.0"}},
    }


def _definitions(template: str) -> dict[str, Any]:
    models = {model: None for _, model, *_ in _CHANNELS}
    _, document = models_json_schema([(model, "serialization") for model in models], ref_template=template)
    definitions: dict[str, Any] = document["$defs"]
    return definitions
