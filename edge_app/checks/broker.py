"""Check whether the broker takes this device, without disconnecting the service that runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge_app.assembly.broker import build_endpoints
from edge_app.checks.sentence import as_sentence
from edge_app.config.model import Config
from edge_app.errors import BrokerError, ConfigError
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Connected, Timing
from edge_app.mqtt.identity import client_id_of
from edge_app.mqtt.session import ProtocolChoice, probe
from edge_app.preview.snapshot_socket import request_broker_problem
from edge_app.web.line_check import Finding

_BROKER_S: Final = 5.0


def check_broker(config: Config, *, running: bool) -> Finding:
    """Try the broker, or ask the service that has the connection. running: a service uses this configuration."""
    if may_disconnect_service(config, running=running):
        return _ask_service(config)
    d, m = config.device, config.mqtt
    # An id of its own: with the service's id the broker would disconnect a service that runs.
    client_id = f"{m.client_id or client_id_of(d.site, d.device)}-check"
    return try_broker(build_endpoints(config), client_id, m.protocol)


def try_broker(
    endpoints: Sequence[Endpoint],
    client_id: str,
    protocol: ProtocolChoice,
    timing: Timing | None = None,
    *,
    wants_mqtt_5: bool = True,
) -> Finding:
    """Try each address of the broker; one of them is needed.

    client_id, timing: see `probe`. wants_mqtt_5: False for a broker of a kind that has none.
    """
    accepted: list[tuple[Endpoint, Connected]] = []
    problems: list[str] = []
    for to in endpoints:
        try:
            accepted.append(
                (to, probe(to, client_id, protocol=protocol, timeout_s=_BROKER_S, timing=timing or Timing()))
            )
        except (BrokerError, ConfigError) as error:
            problems.append(as_sentence(error).removeprefix("broker "))
    if not accepted:
        return Finding("FAIL", "broker", " ".join(problems))
    old = [to for to, found in accepted if found.protocol != "5" and wants_mqtt_5]
    sentences = [f"{', '.join(str(to) for to, _ in accepted)} accept{'s' * (len(accepted) == 1)} us with MQTT "]
    sentences[0] += f"{', '.join(dict.fromkeys(found.protocol for _, found in accepted))}."
    if old:
        why = "in which a broker does not report a forbidden topic: prefer a broker with MQTT 5"
        sentences.append(f"{old[0]} has only MQTT {accepted[0][1].protocol}, {why}.")
    limits = dict.fromkeys(limit for _, found in accepted for limit in found.limits.sentences())
    sentences += [*problems, *(f"{limit[0].upper()}{limit[1:]}." for limit in limits)]
    return Finding("ok" if len(sentences) == 1 else "warn", "broker", " ".join(sentences))


def may_disconnect_service(config: Config, *, running: bool) -> bool:
    """Return True when a connection of the check could end that of the service.

    A broker may bind client ids to certificates or user names (mosquitto's use_username_as_clientid): then an id of
    its own does not help. Where the lock may not be read, a service may be running.
    """
    unreadable = False
    try:
        (config.store.folder / "ledger.lock").open("rb").close()
    except OSError as error:
        unreadable = isinstance(error, PermissionError)
    return bool(config.mqtt.cert_file or config.mqtt.username) and (running or unreadable)


def _ask_service(config: Config) -> Finding:
    problem = request_broker_problem(config.store.folder)
    if problem is None:
        sentence = "the running service has the connection; stop it to check the broker, or run this as its user."
        return Finding("warn", "broker", sentence)
    if problem:
        return Finding("FAIL", "broker", f"the running service says: {as_sentence(problem.removeprefix('broker '))}")
    return Finding("ok", "broker", f"the running service is connected to {_addresses(config)}.")


def _addresses(config: Config) -> str:
    return " or ".join(str(to) for to in build_endpoints(config))
