"""Listen for the page: on one address or one network interface, with TLS where there is a certificate."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

from edge_app.errors import ConfigError
from edge_app.system.bounded_server import BoundedServer

_HANDSHAKE_S: Final = 8.0
_CONNECTIONS: Final = 32
_EACH: Final = 12
"""A browser opens six connections to a server at a time, and a person may have two."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where and how to listen.

    address: IP address. interface: name of a network interface, "" for any; nothing comes in from others. tls: None
    for plain HTTP. is_allowed: tells whether a connection to one of this device's addresses is answered.
    """

    address: str
    interface: str = ""
    tls: ssl.SSLContext | None = None
    is_allowed: Callable[[str], bool] = lambda _: True


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a server's context, TLS 1.2 or newer. Raises ConfigError: when certificate and key cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"the page's certificate {certificate} cannot be used ({why})") from error
    return context


class PageListener(BoundedServer):
    """Bounded server that speaks TLS. The handshake is made in the thread of the connection, within its own time."""

    def __init__(self, listen: Listen, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self._listen = listen
        self._index = _index_of(listen.interface)
        super().__init__((listen.address, port), handler, connections=_CONNECTIONS, each=_EACH)

    def server_bind(self) -> None:
        """Bind to the address and, if one is given, to the network interface: Linux takes nothing from another then."""
        if self._listen.interface:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._listen.interface.encode() + b"\0")
        super().server_bind()

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection, without a handshake: another thread may wait for that."""
        connection, peer = super().get_request()
        if self._listen.tls is None:
            return connection, peer
        return self._listen.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), peer

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether a connection has come to an address that may be reached, and is within the limits."""
        return self._listen.is_allowed(request.getsockname()[0]) and super().verify_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Make the handshake, then answer."""
        if isinstance(request, ssl.SSLSocket):
            request.settimeout(_HANDSHAKE_S)
            with contextlib.suppress(OSError):  # who speaks no TLS, is too slow, or trusts another certificate
                request.do_handshake()
            if request.version() is None:
                return
        super().finish_request(request, client_address)

    def service_actions(self) -> None:
        """End what lasts too long. Raises OSError: when the interface is gone or a new one, which ends the server."""
        super().service_actions()
        if self._listen.interface and _index_of(self._listen.interface) != self._index:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), self._listen.interface)


def _index_of(interface: str) -> int:
    """Return the number of a network interface, 0 for none. Raises OSError: when there is no such one."""
    return socket.if_nametoindex(interface) if interface else 0
