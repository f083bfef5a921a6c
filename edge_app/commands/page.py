"""`edge-app page`: the page of an installed device, in two programs; its password, its certificate."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

HELP = "serve the local page over HTTPS with a password, as a unit of systemd does; set its password; its fingerprint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--password", action="store_true", help="ask for a new password; makes a missing certificate and key too"
    )
    what.add_argument("--fingerprint", action="store_true", help="print address and certificate's fingerprint")
    what.add_argument("--renew", action="store_true", help="make a new certificate and print its fingerprint")
    what.add_argument("--reader", action="store_true", help="read configuration and counts for the page (a unit does)")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("/etc/edge-app/edge-app.toml"),
        metavar="FILE",
        help="TOML file of the service (%(default)s)",
    )
    parser.add_argument(
        "--credentials",
        type=Path,
        metavar="DIR",
        help="folder of page_password, page_cert, page_key (default: $CREDENTIALS_DIRECTORY, else beside the file)",
    )
    parser.add_argument("--state", type=Path, default=Path("/var/lib/edge-app"), metavar="DIR", help="(%(default)s)")
    sockets = {"keeper": "/run/edge-app-keeper.sock", "reader-socket": "/run/edge-app-reader.sock"}
    for name, place in sockets.items():
        parser.add_argument(f"--{name}", type=Path, default=Path(place), metavar="SOCKET", help="(%(default)s)")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Do one of it; return 0.

    Raises ConfigError: for a password that is too short, or without a certificate. Raises PreviewError: when the page
    cannot be served.
    """
    from edge_app.commands import _page_front, _page_reader, _page_secrets

    folder = _page_secrets.folder_of(arguments.credentials, arguments.config)
    if arguments.password:
        _page_secrets.set_password(folder, arguments.config)
    elif arguments.renew:
        _page_secrets.renew(folder, arguments.config)
    elif arguments.fingerprint:
        _page_secrets.tell(folder, arguments.config)
    elif arguments.reader:
        _page_reader.read(arguments.config, arguments.state, arguments.reader_socket, stop)
    else:
        _page_front.serve(folder, arguments.keeper, arguments.reader_socket, stop)
    return 0
