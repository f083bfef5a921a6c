"""`edge-app serve`: the detector as a service over HTTP."""

from __future__ import annotations

import argparse
import logging
import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_app.commands._serving import build_detectors, serve_extra
from edge_app.errors import ConfigError, ServeError

if TYPE_CHECKING:
    from edge_app.serve.access import Access, Client

HELP = "answer over HTTP: a picture in, boxes out"

log = logging.getLogger(__name__)

_PORT: Final = 8765
_LOOK_S: Final = 0.5
"""Time between two looks at what may end the service."""
_BUDGET: Final = 16
"""Largest pictures that may be in memory at once."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; others than loopback need --tokens")
    parser.add_argument("--port", type=int, default=_PORT, help=f"port to listen on, 0 for a free one ({_PORT})")
    parser.add_argument(
        "--models",
        metavar="MODEL.tflite",
        type=Path,
        nargs="+",
        default=[],
        help="detectors that may be asked for, the first by default; they need not have passed the gate",
    )
    parser.add_argument("--tokens", metavar="FILE", type=Path, help="tokens that may ask, a line each")
    parser.add_argument("--new-token", metavar="NAME", help="add a token to the file --tokens, print it, and end")
    parser.add_argument(
        "--scopes", metavar="SCOPE,SCOPE", default="predict,counts", help="what the new token may do (predict,counts)"
    )
    parser.add_argument(
        "--origin", metavar="URL", action="append", default=[], help="page of another server that may ask (CORS)"
    )
    parser.add_argument("--engines", type=_count, metavar="N", help="pictures looked at at once (one a core)")
    parser.add_argument("--queue", type=_count, default=64, metavar="N", help="pictures that wait; more get 503 (64)")
    parser.add_argument("--max-mb", type=_count, default=20, metavar="MB", help="largest picture, 10^6 bytes (20)")
    parser.add_argument("--max-megapixels", type=_count, default=50, metavar="N", help="largest picture, 10^6 px (50)")


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:6]) <= 10_000:
        raise argparse.ArgumentTypeError(f"must be 1 to 10000, not {text}")
    return int(text)


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Serve until a stop signal and return 0. Raises ConfigError, DetectorError, ServeError."""
    with serve_extra("serve"):
        from edge_app.serve.api import Service, build_api
        from edge_app.serve.bodies import Budget
        from edge_app.serve.engines import Engines
        from edge_app.serve.metrics import Metrics
        from edge_app.serve.pictures import PictureLimits
        from edge_app.serve.predictor import Predictor
        from edge_app.serve.server import Server
    from edge_app.system import logging as logs
    from edge_app.system.systemd import notify

    if arguments.new_token:
        return _add_token(arguments)
    access = _access(arguments)
    logs.setup(queued=True)
    limits = PictureLimits(arguments.max_mb * 1_000_000, arguments.max_megapixels * 1_000_000)
    threads = arguments.engines or os.cpu_count() or 1
    with ExitStack() as stack:
        detectors = build_detectors(arguments.models, threads)
        engines = Engines(threads, arguments.queue)
        stack.callback(engines.close)
        service = Service(
            predictor=Predictor(detectors, engines, limits),
            engines=engines,
            access=access,
            metrics=Metrics(lambda: engines.waiting),
            budget=Budget(_BUDGET * limits.bytes),
            most_bytes=limits.bytes,
        )
        server = stack.enter_context(Server(build_api(service), arguments.host, arguments.port))
        log.info("serving", extra={"url": _url(arguments.host, server.port), "models": list(detectors)})
        notify("READY=1")
        while not stop.wait(_LOOK_S):
            if not server.alive:
                raise ServeError("the HTTP server has ended; the log says why")
    return 0


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _access(arguments: argparse.Namespace) -> Access:
    from edge_app.serve.access import Access, is_loopback

    if not arguments.tokens and not is_loopback(arguments.host):
        raise ConfigError(
            f"--host {arguments.host} can be reached by others: make tokens with --tokens FILE --new-token NAME first, "
            "and put TLS before it (docs/serve.md)"
        )
    return Access(_tokens(arguments.tokens) if arguments.tokens else None, tuple(arguments.origin))


def _tokens(path: Path) -> Mapping[str, Client]:
    from edge_app.serve.access import parse_tokens

    try:
        return parse_tokens(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"cannot read the tokens in {path}: {why}; add one with --new-token NAME") from error


def _add_token(arguments: argparse.Namespace) -> int:
    from edge_app.serve.access import new_token
    from edge_app.system.files import write_atomic

    if not arguments.tokens:
        raise ConfigError("--new-token: name the file of tokens with --tokens FILE")
    token, line = new_token(arguments.new_token, arguments.scopes.split(","))
    path: Path = arguments.tokens
    before = path.read_text("utf-8") if path.exists() else ""
    write_atomic(path, before + ("\n" if before and not before.endswith("\n") else "") + line + "\n", mode=0o600)
    print(token)
    return 0
