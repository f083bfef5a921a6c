"""Generate the machine-readable MQTT contract from the payload models: JSON Schemas and an AsyncAPI 3 document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from edge_app.mqtt.count_messages import CountsMessage, CrossingMessage, FlowsMessage, ReviewMessage, ShadowMessage
from edge_app.mqtt.device_messages import ConfigMeta, Health, Meta, Status
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import CONTRACT, root_below
from edge_app.mqtt.office_messages import (
    CommandMessage,
    ConfigDesired,
    ConfigReported,
    PieceMessage,
    PieceRequest,
    ReplyMessage,
    SignedMessage,
)
from edge_app.mqtt.payload import Payload


@dataclass(frozen=True, slots=True)
class _Channel:
    """Topic below the device's prefix. receives: the device receives it, all others it sends."""

    name: str
    address: str
    model: type[Payload]
    qos: int
    retained: bool
    summary: str
    description: str
    receives: bool = False
    expires: str = ""


_CHANNELS: Final = (
    _Channel(
        "status",
        "status",
        Status,
        1,
        True,
        "Presence of the device; offline is its last will",
        "The newest one counts. `at` of offline is the time of the connect whose connection was lost.",
    ),
    _Channel(
        "meta",
        "meta",
        Meta,
        1,
        True,
        "Sent at every connect: position, lines, classes and software of the device",
        "The newest one counts.",
    ),
    _Channel(
        "meta_config",
        "meta/{config}",
        ConfigMeta,
        1,
        True,
        "What was counted under one `config`, sent before the first interval that names it",
        "The newest text wins. An empty payload takes the retained message back; consumers keep what they saw.",
    ),
    _Channel(
        "counts",
        "counts/{line}",
        CountsMessage,
        1,
        False,
        "One message for each closed interval, zeros included",
        "May arrive twice: store by `id`, for ever. May arrive late and out of order: sort by `start`; a hole in `seq`"
        " is a loss that `resend` closes. It does not expire.",
    ),
    _Channel(
        "latest",
        "latest/{line}",
        CountsMessage,
        1,
        True,
        "Only the newest closed interval; none with `mqtt.latest = false`",
        "The highest `seq` of the current installation; a late delivery never overwrites it. An empty payload takes it"
        " back when the line is no longer configured, or `latest` was switched off.",
    ),
    _Channel(
        "flows",
        "flows",
        FlowsMessage,
        1,
        False,
        "Turning flows of a junction, one message for each closed interval",
        "Only where lines are arms of a junction (`enters`). Delivered as `counts` are, with a `seq` of its own;"
        " `resend` closes its gaps as those of line `_flows`.",
    ),
    _Channel(
        "latest_flows",
        "latest/_flows",
        FlowsMessage,
        1,
        True,
        "Only the newest closed interval of `flows`",
        "As `latest` of a line.",
    ),
    _Channel(
        "crossings",
        "crossings/{line}",
        CrossingMessage,
        0,
        False,
        "Each crossing, within a second of its confirmation; off unless `mqtt.crossings` is on",
        "Never stored: one that is lost does not come again. Count by `counts`.",
        expires="after ten seconds (MQTT 5)",
    ),
    _Channel(
        "shadow",
        "shadow/{line}",
        ShadowMessage,
        1,
        False,
        "Counts of a candidate beside those of the detector in service, for intervals of which both saw all frames",
        "Used for no count. A hole in `seq` is a comparison that was lost; nothing asks for it again.",
    ),
    _Channel(
        "reviews",
        "reviews/{line}",
        ReviewMessage,
        1,
        False,
        "Pictures of crossings, drawn at random, for people to say what they show; off unless `review.enabled` is on",
        "May arrive twice: store by `id`. Never stored on the device: `reviews` of `health` counts what was dropped.",
    ),
    _Channel(
        "health",
        "health",
        Health,
        0,
        False,
        "Sent every interval, at least once a minute: rates, queue, temperature, memory, faults",
        "May be lost: the next one comes.",
        expires="after ten intervals (MQTT 5)",
    ),
    _Channel(
        "commands",
        "commands/{command}",
        CommandMessage,
        1,
        False,
        "Asks the device for something: ping, resend",
        "Never retained. Sent while the device is away it is lost: ask again after `online`. A repeated `id` is not"
        " carried out again and gets the same reply.",
        receives=True,
    ),
    _Channel(
        "signed_commands",
        "commands/{command}",
        SignedMessage,
        1,
        False,
        "The same, signed by the office: restart, diagnose, harvest, snapshot, fetch, release, rollback",
        "`document` is a command. Without a key of the device's own configuration the answer is `unauthorised`.",
        receives=True,
    ),
    _Channel(
        "replies",
        "replies/{command}",
        ReplyMessage,
        1,
        False,
        "Answer to a command, with its id",
        "An MQTT 5 response topic below the device's own `replies/` is used instead, with its correlation data.",
    ),
    _Channel(
        "config_desired",
        "config/desired",
        SignedMessage,
        1,
        True,
        "The office's layer of the device's configuration, signed",
        "Only where the device has keys of the office. One whose `revision` is not above the highest ever accepted is"
        " refused; an empty payload changes nothing.",
        receives=True,
    ),
    _Channel(
        "config_reported",
        "config/reported",
        ConfigReported,
        1,
        True,
        "What became of the office's configuration and of its releases, sent at every connect and at each change",
        "The newest one counts. Only where the device has keys of the office.",
    ),
    _Channel(
        "pieces",
        "pieces/{id}",
        PieceMessage,
        1,
        False,
        "Parts of what a signed command asked for, which is too large for its answer",
        "In order; the answer comes after the last one. A piece may come twice.",
    ),
    _Channel(
        "piece_requests",
        "pieces/{id}",
        PieceRequest,
        1,
        False,
        "Asks for pieces of the bundle that `fetch` without a `url` has named",
        "Asked again after 20 s without a piece, and at every connect.",
    ),
    _Channel(
        "incoming_pieces",
        "commands/piece",
        PieceMessage,
        1,
        False,
        "Pieces of that bundle, which the device has asked for",
        "Never retained, never answered, and not signed: `fetch` has signed the hash of the whole.",
        receives=True,
    ),
)


_DOCUMENTS: Final[dict[str, type[Payload]]] = {"config_desired_document": ConfigDesired}
"""What a signed message holds as text, where no channel has it as it is."""


def schemas() -> dict[str, Any]:
    """Return a self-contained JSON Schema (2020-12) for each payload, by channel name: status, meta, counts ..."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    models: dict[str, type[Payload]] = {**{c.name: c.model for c in _CHANNELS}, **_DOCUMENTS}
    return {
        name: {"$schema": dialect, **_valid(model.model_json_schema(mode="serialization"))}
        for name, model in models.items()
    }


def asyncapi(version: str, above: str = "") -> dict[str, Any]:
    """Return the whole contract as an AsyncAPI 3.0 document.

    version: of the software. above: levels of the topics before traffic/v1.
    """
    channels, operations, messages = {}, {}, {}
    for c in _CHANNELS:
        channels[c.name] = _channel(c, above)
        operations[f"{'receive' if c.receives else 'send'}_{c.name}"] = _operation(c)
        messages[c.model.__name__] = {
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{c.model.__name__}"},
            "examples": [{"payload": EXAMPLES[c.name]}],
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edge-app: roadside vehicle counts",
            "version": version,
            "description": f"Contract {CONTRACT}. Unknown keys are to be ignored. Messages may arrive twice and out of"
            " order; `id` of an interval has one content for ever. Where devices have an `mqtt.prefix`, it stands"
            " before each address.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "plain": {"host": "{host}:1883", "protocol": "mqtt", **_SERVER},
            "tls": {"host": "{host}:8883", "protocol": "secure-mqtt", **_SERVER, **_CERTIFICATE},
            "websockets": {"host": "{host}:80", "pathname": "/mqtt", "protocol": "ws", **_SERVER},
            "websockets_tls": {
                "host": "{host}:443",
                "pathname": "/mqtt",
                "protocol": "wss",
                **_SERVER,
                **_CERTIFICATE,
            },
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": _definitions("#/components/schemas/{model}"),
            "securitySchemes": {
                "login": {"type": "userPassword", "description": "User name and password of the broker."},
                "certificate": {"type": "X509", "description": "The device's certificate names SITE/DEVICE."},
            },
        },
    }


_SERVER: Final[dict[str, Any]] = {
    "protocolVersion": "5.0",
    "description": "The city's broker. MQTT 3.1.1 where it refuses 5.",
    "variables": {"host": {"description": "Name of the broker", "default": "localhost"}},
    "security": [{"$ref": "#/components/securitySchemes/login"}],
}
_CERTIFICATE: Final = {
    "security": [
        {"$ref": "#/components/securitySchemes/login"},
        {"$ref": "#/components/securitySchemes/certificate"},
    ]
}


def _channel(c: _Channel, above: str) -> dict[str, Any]:
    address = f"{root_below(above)}/{{site}}/{{device}}/{c.address}"
    return {
        "address": address,
        "summary": c.summary,
        "description": c.description,
        "parameters": {name: {"description": f"The {name}'s id"} for name in re.findall(r"{(\w+)}", address)},
        "messages": {c.model.__name__: {"$ref": f"#/components/messages/{c.model.__name__}"}},
    }


def _operation(c: _Channel) -> dict[str, Any]:
    expiry = f" Expires {c.expires}." if c.expires else ""
    return {
        "action": "receive" if c.receives else "send",
        "channel": {"$ref": f"#/channels/{c.name}"},
        "summary": c.summary,
        "description": f"{'At least once.' if c.qos else 'At most once.'}{expiry}",
        "bindings": {"mqtt": {"qos": c.qos, "retain": c.retained, "bindingVersion": "0.2.0"}},
    }


def _definitions(template: str) -> dict[str, Any]:
    models = {c.model: None for c in _CHANNELS}
    _, document = models_json_schema([(model, "serialization") for model in models], ref_template=template)
    definitions: dict[str, Any] = _valid(document["$defs"])
    return definitions


def _valid(node: Any) -> Any:
    """Replace what pydantic writes and JSON Schema does not know: `gt` on a choice of types is no keyword."""
    if isinstance(node, list):
        return [_valid(child) for child in node]
    if not isinstance(node, dict):
        return node
    valid = {_KEYWORDS.get(key, key): _valid(child) for key, child in node.items()}
    if valid.get("anyOf") == [{"type": "integer"}, {"type": "number"}]:
        del valid["anyOf"]
        valid["type"] = "number"  # a whole number is one, and generated clients get one type
    return valid


_KEYWORDS: Final = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "multiple_of": "multipleOf",
}
