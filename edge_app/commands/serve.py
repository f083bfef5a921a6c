"""`edge-app serve`: the detector as a service over HTTP."""

from __future__ import annotations

import argparse
import logging
import math
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_app.commands._options import listening_port, load_config
from edge_app.commands._serving import build_detectors, serve_extra
from edge_app.errors import ConfigError, ServeError
from edge_app.storage.folder_lock import lock_folder

if TYPE_CHECKING:
    from edge_app.serve.access import Access
    from edge_app.serve.uploads import Clips

HELP = "answer over HTTP: a picture or a clip in, boxes or counts out"

log = logging.getLogger(__name__)

_PORT: Final = 8765
_LOOK_S: Final = 0.5
"""Time between two looks at what may end the service."""
_JOBS: Final = 32
"""Clips that arrive, wait or are counted."""
_JOBS_EACH: Final = 8
"""The same of one client."""
_UPLOAD_S: Final = 3600.0
"""Longest time for a clip to arrive."""
_UPLOAD_RATE: Final = 20_000.0
"""Bytes/s with which it must arrive, after a while."""
_BUDGET: Final = 16
"""Largest pictures that may be in memory at once."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; others than loopback need --tokens")
    parser.add_argument(
        "--port", type=listening_port, default=_PORT, help=f"port to listen on, 0 for a free one ({_PORT})"
    )
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
    parser.add_argument(
        "--folder", metavar="DIR", type=Path, default=Path("state/serve"), help="folder of the jobs (state/serve)"
    )
    parser.add_argument(
        "--instance",
        metavar="NAME",
        type=_instance,
        help="name of this one behind a load balancer, a-z and 0-9: the addresses of its jobs begin with it",
    )
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="clips counted at once (1)")
    parser.add_argument("--keep-hours", type=_count, default=24, metavar="H", help="how long results are kept (24)")
    parser.add_argument("--max-clip-mb", type=_count, default=500, metavar="MB", help="largest clip, 10^6 bytes (500)")
    parser.add_argument("--max-clip-megapixels", type=_count, default=9, metavar="N", help="of a frame, 10^6 px (9)")
    parser.add_argument("--max-clip-minutes", type=_count, default=120, metavar="M", help="longest clip (120)")
    parser.add_argument("--max-minutes", type=_count, default=60, metavar="M", help="longest time to count a clip (60)")
    parser.add_argument(
        "--idle-exit", type=_count, metavar="M", help="end when for so many minutes nobody asked for boxes or counts"
    )
    parser.add_argument("--idle-command", metavar="COMMAND", help="run this after --idle-exit, such as a power-off")
    parser.add_argument("--max-mb", type=_count, default=20, metavar="MB", help="largest picture, 10^6 bytes (20)")
    parser.add_argument("--max-megapixels", type=_count, default=50, metavar="N", help="largest picture, 10^6 px (50)")


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:6]) <= 10_000:
        raise argparse.ArgumentTypeError(f"must be 1 to 10000, not {text}")
    return int(text)


def _instance(text: str) -> str:
    if not re.fullmatch("[a-z0-9]{1,20}", text):
        raise argparse.ArgumentTypeError(f"must be 1 to 20 of a-z and 0-9, not {text}")
    return text


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Serve until a stop signal and return 0. Raises ConfigError, DetectorError, ServeError."""
    with serve_extra("serve"):
        from edge_app.http.server import Server
        from edge_app.serve.api import Service, build_api
        from edge_app.serve.bodies import Budget
        from edge_app.serve.engines import Engines
        from edge_app.serve.metrics import Metrics
        from edge_app.serve.pictures import PictureLimits
        from edge_app.serve.predictor import Predictor
    from edge_app.system import logging as logs
    from edge_app.system.memory import keep_freed_memory
    from edge_app.system.systemd import notify

    if arguments.new_token is not None:
        return _add_token(arguments)
    access = _access(arguments)
    idle_command = _idle_command(arguments.idle_command)
    logs.setup(queued=True)
    keep_freed_memory()
    idle = Idle(arguments.idle_exit * 60.0 if arguments.idle_exit else math.inf)
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
            clips=_clips(arguments, {name: detector.path for name, detector in detectors.items()}, stack),
            activity=idle.used,
        )
        server = stack.enter_context(Server(build_api(service), arguments.host, arguments.port))
        log.info("serving", extra={"url": _url(arguments.host, server.port), "models": list(detectors)})
        notify("READY=1")
        while not stop.wait(_LOOK_S):
            if not server.alive:
                raise ServeError("the HTTP server has ended; the log says why")
            if service.clips and service.clips.counting.busy:
                idle.used()
            if idle.over:
                break
    return 0 if stop.is_set() else _idle(arguments.idle_exit, idle_command)


def _clips(arguments: argparse.Namespace, models: Mapping[str, Path], stack: ExitStack) -> Clips:
    """Build what takes and counts clips. Raises ServeError: when the folder cannot be used."""
    from edge_app.serve.bodies import BodyLimits
    from edge_app.serve.counting import Counting
    from edge_app.serve.jobs import Jobs
    from edge_app.serve.leash import ClipLimits
    from edge_app.serve.uploads import Clips

    lock = lock_folder(arguments.folder)
    stack.callback(os.close, lock)
    jobs = Jobs(arguments.folder / "jobs", arguments.keep_hours * 3600.0, instance=arguments.instance or "")
    counting = Counting(
        jobs,
        models,
        at_once=arguments.jobs,
        each=_JOBS_EACH,
        room=_JOBS,
        longest_s=arguments.max_minutes * 60.0,
        limits=ClipLimits(arguments.max_clip_megapixels * 1_000_000, arguments.max_clip_minutes),
    )
    stack.callback(counting.close)
    limits = BodyLimits(arguments.max_clip_mb * 1_000_000, _UPLOAD_S, _UPLOAD_RATE)
    return Clips(jobs, counting, limits, list(models), lambda lines: load_config(None, lines))


def _idle_command(text: str | None) -> list[str]:
    """Return the words of a command, none without one. Raises ConfigError: when it cannot be run, now and not later."""
    try:
        words = shlex.split(text or "")
    except ValueError as error:
        raise ConfigError(f"--idle-command {text}: {str(error).lower()}; quote it as in a shell") from None
    if text is not None and (not words or shutil.which(words[0]) is None):
        program = words[0] if words else ""
        raise ConfigError(f'--idle-command: there is no program "{program}" to run; give its whole path')
    return words


def _idle(minutes: int, command: list[str]) -> int:
    """Run the user's command after an idle time and return its exit code."""
    log.info("nobody has asked for %d minutes", minutes)
    return subprocess.run(command, check=False).returncode if command else 0


class Idle:
    """How long a service has not been used. allowed_s: time after which it is over. clock: s, never steps."""

    def __init__(self, allowed_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed_s, self._clock, self._used_at = allowed_s, clock, clock()

    def used(self) -> None:
        """Note a use; every thread may call this."""
        self._used_at = self._clock()

    @property
    def over(self) -> bool:
        """True when nobody has used the service for too long."""
        return self._clock() - self._used_at >= self._allowed_s


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _access(arguments: argparse.Namespace) -> Access:
    from edge_app.serve.access import Access, is_loopback
    from edge_app.serve.token_file import TokenFile

    if not arguments.tokens and not is_loopback(arguments.host):
        raise ConfigError(
            f"--host {arguments.host} can be reached by others: make tokens with --tokens FILE --new-token NAME first, "
            "and put TLS before it (docs/serve.md)"
        )
    return Access(TokenFile(arguments.tokens) if arguments.tokens else None, tuple(arguments.origin))


def _add_token(arguments: argparse.Namespace) -> int:
    from edge_app.serve.access import clients_of, new_token
    from edge_app.system.files import write_atomic

    if not arguments.tokens:
        raise ConfigError("--new-token: name the file of tokens with --tokens FILE")
    token, line = new_token(arguments.new_token, arguments.scopes.split(","))
    path: Path = arguments.tokens
    before = path.read_text("utf-8") if path.exists() else ""
    if arguments.new_token in (client.name for client in clients_of(before).values()):
        raise ConfigError(
            f"--new-token {arguments.new_token}: {path} has this name; choose another, or remove its line first"
        )
    write_atomic(path, before + ("\n" if before and not before.endswith("\n") else "") + line + "\n", mode=0o600)
    print(token)
    return 0
