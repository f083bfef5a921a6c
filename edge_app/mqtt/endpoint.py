"""Where the MQTT broker is, and what its faults mean to the person who set it up: one sentence each."""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_app.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Tls:
    """Encryption: the system's authorities or `ca_file`, and our own certificate where the broker asks for one."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker is and what it wants to see; secrets stay out of its text."""

    host: str
    port: int = 1883
    username: str = ""
    password: str = field(default="", repr=False)
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: a random wait below a ceiling that doubles from min_s up to max_s, so
    that a town's devices do not return in step (M. Brooker, "Exponential Backoff And Jitter", AWS 2015)."""

    min_s: float = 1.0
    max_s: float = 60.0
    uniform: Callable[[float, float], float] = random.uniform

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, from 1."""
        return self.uniform(0.0, min(self.max_s, self.min_s * 2.0 ** min(failures - 1, 30)))


class _TlsSocket(ssl.SSLSocket):
    """paho forgets a socket whose handshake failed; this one does not stay open then."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Raises ConfigError when a file cannot be read or a key does not fit."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        raise ConfigError(f"CA file {tls.ca_file} is no readable PEM certificate ({_detail(error)})") from error
    context.sslsocket_class = _TlsSocket
    if tls.cert_file:
        try:
            # An empty password instead of none: OpenSSL would ask for one on the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, tls.key_password)
        except OSError as error:
            raise ConfigError(
                f"client certificate {tls.cert_file} and key {tls.key_file or 'in it'} cannot be read, do not belong "
                f"together or the key's password is wrong ({_detail(error)})"
            ) from error
    return context


def _detail(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def unreachable(error: OSError | ValueError, to: Endpoint, timeout_s: float) -> str:
    """What a failed connection means; subclasses are asked for before their parents."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"its certificate is not accepted ({error.verify_message})"
        advice = "check the CA file, the host name and this device's clock"
    elif isinstance(error, ssl.SSLError) or (to.tls and isinstance(error, ConnectionResetError)):
        said, advice = f"no TLS connection ({_detail(error)})", "is this its TLS port?"
    elif isinstance(error, (socket.gaierror, UnicodeError)):
        said, advice = "unknown host name", "check its spelling and the network's DNS"
    elif isinstance(error, TimeoutError):
        said, advice = f"no answer within {timeout_s:g} s", "check address, network and firewall"
    elif isinstance(error, ConnectionRefusedError):
        said, advice = "connection refused", "is the broker running, and on this port?"
    else:
        said, advice = f"cannot be reached ({_detail(error)})", "check address, network and firewall"
    return f"broker {to}: {said}; {advice}"


_ADVICE: Final = {
    "Bad user name or password": "check user name and password",
    "Not authorized": "check user name, password and the broker's access list",
    "Session taken over": "another client uses this id: give each device its own site and device name",
    "Server shutting down": "waiting for its return",
}


def refused(reason: str, to: Endpoint) -> str:
    """What a broker's own words mean; `reason` as the MQTT 5 standard names it."""
    return f"broker {to}: refuses us ({reason}); {_ADVICE.get(reason, 'ask whoever runs it')}"
