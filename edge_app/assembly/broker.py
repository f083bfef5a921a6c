"""Tell the addresses of a broker, with login and TLS files."""

from __future__ import annotations

from edge_app.config.model import Config
from edge_app.config.mqtt import BrokerAccess
from edge_app.mqtt.endpoint import PATH, Endpoint, Tls


def build_endpoints(config: Config) -> tuple[Endpoint, ...]:
    """Return the broker's addresses, in the order in which they are tried, with login and TLS files."""
    return endpoints_of(config.mqtt)


def endpoints_of(m: BrokerAccess) -> tuple[Endpoint, ...]:
    """Return the addresses that a table [mqtt] gives."""
    tls = Tls(m.ca_file, m.cert_file, m.key_file) if m.tls else None
    password = m.password.get_secret_value() if m.password else ""
    way = m.transport, m.path or PATH
    return tuple(Endpoint(host, m.port, m.username or "", password, tls, *way) for host in m.addresses)
