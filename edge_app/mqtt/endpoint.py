"""Address and credentials of the MQTT broker, and one sentence with a remedy for each of its faults."""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from edge_app.errors import ConfigError
from edge_app.system.names import url_host

PATH: Final = "/mqtt"
"""Path of a broker's WebSocket unless another one is configured."""


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS files in PEM form.

    ca_file: authority to trust; None for those of the system.
    cert_file, key_file: the device's own certificate and key, for a broker that asks for one.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host, port, login and TLS of a broker; `str` and `repr` show no secret.

    path: of its WebSocket, for the transport "websockets".
    """

    host: str
    port: int = 1883
    username: str = ""
    password: str = field(default="", repr=False)
    tls: Tls | None = None
    transport: Literal["tcp", "websockets"] = "tcp"
    path: str = PATH

    def __str__(self) -> str:
        return f"{url_host(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: a random wait below a ceiling that doubles from min_s up to max_s.

    The jitter keeps the devices of a town from reconnecting at the same moment.
    Source: M. Brooker, "Exponential Backoff And Jitter", AWS 2015.
    """

    min_s: float = 1.0
    max_s: float = 60.0
    uniform: Callable[[float, float], float] = random.uniform

    def delay(self, failures: int) -> float:
        """Return the seconds to wait. failures: failed connections in a row, 1 or more."""
        return self.uniform(0.0, min(self.max_s, self.min_s * 2.0 ** min(failures - 1, 30)))


class _TlsSocket(ssl.SSLSocket):
    """TLS socket that closes itself when its handshake fails: paho drops its reference without closing it."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return the client context for these files.

    Raises ConfigError: when a file cannot be read or the key does not belong to the certificate.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        raise ConfigError(f"CA file {tls.ca_file} is no readable PEM certificate ({_detail(error)})") from error
    context.sslsocket_class = _TlsSocket
    if tls.cert_file:
        try:
            # Without a password OpenSSL would ask for one on the terminal; an empty one makes it fail instead.
            context.load_cert_chain(tls.cert_file, tls.key_file, tls.key_password)
        except OSError as error:
            raise ConfigError(
                f"client certificate {tls.cert_file} and key {tls.key_file or 'in it'} cannot be read, do not belong "
                f"together or the key's password is wrong ({_detail(error)})"
            ) from error
    return context


def _detail(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def explain_unreachable(error: Exception, to: Endpoint, timeout_s: float) -> str:
    """Return one sentence on why connecting to `to` failed, with a remedy.

    timeout_s: the limit that a time-out has passed.
    """
    # Subclasses stand before their parents: all of these are OSErrors.
    if isinstance(error, ssl.SSLCertVerificationError):
        what = f"its certificate is not accepted ({error.verify_message})"
        advice = "check the CA file, the host name and this device's clock"
    elif isinstance(error, ssl.SSLError) or (to.tls and isinstance(error, ConnectionResetError)):
        what, advice = f"no TLS connection ({_detail(error)})", "is this its TLS port?"
    elif isinstance(error, socket.gaierror) or (to.transport == "tcp" and isinstance(error, UnicodeError)):
        what, advice = "unknown host name", "check its spelling and the network's DNS"
    elif isinstance(error, TimeoutError):
        what, advice = f"no answer within {timeout_s:g} s", "check address, network and firewall"
    elif isinstance(error, ConnectionRefusedError):
        what, advice = "connection refused", "is the broker running, and on this port?"
    elif to.transport == "websockets":
        what = f"no WebSocket at {to.path} ({_detail(error) or type(error).__name__})"
        advice = "check the port of its WebSockets and mqtt.path"
    else:
        what, advice = f"cannot be reached ({_detail(error)})", "check address, network and firewall"
    return f"broker {to}: {what}; {advice}"


_ADVICE: Final = {
    "Bad user name or password": "check user name and password",
    "Not authorized": "check user name, password and the broker's access list",
    "Session taken over": "another client uses this id: give each device its own site and device name",
    "Server shutting down": "waiting until it is back",
    "Packet too large": "a message is larger than it takes: ask its administrator for a larger limit",
    "Topic name invalid": "check mqtt.prefix and the broker's rules for topics",
    "Quota exceeded": "it takes no more: ask its administrator",
}
NOT_OUR_FAULT: Final = frozenset(
    (
        *("Session taken over", "Server shutting down", "Server busy", "Keep alive timeout", "Use another server"),
        *("Server moved", "Message rate too high", "Administrative action", "Connection rate exceeded"),
        *("Maximum connect time", "Normal disconnection"),
    )
)
"""Reasons for which a broker ends a connection whatever it was sent."""


def explain_refusal(reason: str, to: Endpoint, what: str = "refuses us") -> str:
    """Return one sentence on a broker's refusal, with a remedy.

    reason: name of the MQTT 5 reason code. what: what the broker does.
    """
    return f"broker {to}: {what} ({reason}); {_ADVICE.get(reason, 'ask its administrator')}"
