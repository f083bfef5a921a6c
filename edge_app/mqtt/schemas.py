"""The MQTT contract for machines, generated from the payload models: JSON Schemas and an AsyncAPI 3 document."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from edge_app.mqtt.identity import ROOT
from edge_app.mqtt.messages import CountsMessage, Health, Meta, Payload, Status

_CHANNELS: Final[tuple[tuple[str, type[Payload], int, bool, str], ...]] = (
    ("status", Status, 1, True, "Whether the device is there; offline is its last will"),
    ("meta", Meta, 1, True, "At every connect: where the device is, its lines, classes and software"),
    ("counts/{line}", CountsMessage, 1, False, "One for each closed interval, zeros included"),
    ("latest/{line}", CountsMessage, 1, True, "The newest closed interval only"),
    ("health", Health, 0, False, "Every interval: rates, queue, temperature, memory, faults"),
)


def _definitions(template: str) -> dict[str, Any]:
    models = {model: None for _, model, *_ in _CHANNELS}
    _, document = models_json_schema([(model, "serialization") for model in models], ref_template=template)
    definitions: dict[str, Any] = document["$defs"]
    return definitions


def schemas() -> dict[str, Any]:
    """A self-contained JSON Schema (2020-12) for each topic's payload, by channel name: status, meta, counts ..."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {
        address.partition("/")[0]: {"$schema": dialect, **model.model_json_schema(mode="serialization")}
        for address, model, *_ in _CHANNELS
    }


def _parameters(address: str) -> dict[str, Any]:
    return {name: {"description": f"The {name}'s id"} for name in re.findall(r"{(\w+)}", address)}


def asyncapi(version: str) -> dict[str, Any]:
    """The whole contract as an AsyncAPI 3.0 document; `version` is the software's."""
    channels, operations = {}, {}
    for address, model, qos, retain, summary in _CHANNELS:
        name = address.partition("/")[0]
        address = f"{ROOT}/{{site}}/{{device}}/{address}"
        channels[name] = {
            "address": address,
            "description": summary,
            "parameters": _parameters(address),
            "messages": {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"}},
        }
        operations[f"send_{name}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": summary,
            "bindings": {"mqtt": {"qos": qos, "retain": retain, "bindingVersion": "0.2.0"}},
        }
    messages = {
        model.__name__: {
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        }
        for _, model, *_ in _CHANNELS
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "edge-app: roadside vehicle counts", "version": version},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": _definitions("#/components/schemas/{model}")},
    }
