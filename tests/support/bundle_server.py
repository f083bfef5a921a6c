"""An HTTPS server for bundles that breaks off, forgets ranges or lies, as a test wants it."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from edge_app.web.own_certificate import make_certificate


@dataclass(slots=True)
class Behaviour:
    """content: what is served. breaks: bytes after which each of the first answers ends. ranges: whether it knows
    them. status: of every answer, 0 for a usual one. location: of a redirection. asked: `Range` of each request."""

    content: bytes
    breaks: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 0
    location: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def bundle_server(folder: Path, behaviour: Behaviour) -> Iterator[tuple[str, Path]]:
    """Yield the URL of a server on loopback, and the file of the authority to trust."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # as the class wants it
            _answer(self, behaviour)

        def log_message(self, format: str, *args: object) -> None:
            pass

    certificate, key = make_certificate(["localhost"], ["127.0.0.1"])
    (folder / "server.crt").write_bytes(certificate)
    (folder / "server.key").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}/bundle.zip", folder / "server.crt"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, behaviour: Behaviour) -> None:
    asked = handler.headers.get("Range", "")
    behaviour.asked.append(asked)
    found = re.fullmatch(r"bytes=(\d+)-", asked) if behaviour.ranges else None
    begin = int(found[1]) if found else 0
    content = behaviour.content[begin:]
    handler.send_response(behaviour.status or (206 if found else 200))
    if behaviour.location:
        handler.send_header("Location", behaviour.location)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: behaviour.breaks.pop(0)] if behaviour.breaks else content)
    handler.close_connection = True
