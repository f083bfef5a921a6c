"""Set the password of the page, make its certificate, and print what a person needs to recognise the device."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from edge_app.commands._options import credentials_folder
from edge_app.commands._questions import ask_new_password
from edge_app.errors import ConfigError, reason_of
from edge_app.system.files import remedy_of
from edge_app.system.names import url_host


def folder_of(given: Path | None, config: Path) -> Path:
    """Return the folder of the page's secrets: that which was given, that of systemd, or the one beside the file."""
    if given is not None:
        return given
    from_systemd = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(from_systemd) if from_systemd else credentials_folder(config)


def set_password(folder: Path, config: Path) -> None:
    """Ask for a password twice without showing it, or read one line from a pipe; store its hash, and tell the address.

    Raises ConfigError: for one that is too short, two that differ, or a folder that cannot be written.
    """
    from edge_app.system.files import write_atomic
    from edge_app.web.own_certificate import is_pair
    from edge_app.web.passwords import hash_password

    stored = hash_password(ask_new_password("New password of the page:"))
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        write_atomic(folder / "page_password", stored + "\n", mode=0o600)
    except OSError as error:
        raise _unwritable(folder, error) from error
    if not is_pair(folder):
        _make(folder, config)
    print("The password is set. To use it: sudo systemctl enable edge-app-page && sudo systemctl restart edge-app-page")
    tell(folder, config)


def introduce(folder: Path, config: Path) -> None:
    """Make a missing certificate, and tell a person how to get to the page. Raises ConfigError, ResourceError."""
    from edge_app.web.own_certificate import is_pair

    if not is_pair(folder):
        _make(folder, config)
    tell(folder, config)
    if not _has_content(folder / "page_password"):
        print("It has no password yet, and is not served before: sudo edge-app page --password")


def renew(folder: Path, config: Path) -> None:
    """Make a new certificate and tell its fingerprint. Raises ConfigError, ResourceError."""
    _make(folder, config)
    print("A new certificate is made. To use it: sudo systemctl restart edge-app-page")
    tell(folder, config)


def tell(folder: Path, config: Path) -> None:
    """Print address and fingerprint. Raises ConfigError: without a certificate and its key."""
    from edge_app.web.own_certificate import fingerprint, is_pair

    told = fingerprint(folder / "page_cert")
    if not is_pair(folder):
        raise ConfigError(
            f"{folder / 'page_key'} is not the key of the certificate: `sudo edge-app page --renew` makes both"
        )
    print(f"Page: {page_url(config)}")
    print("The browser does not know this device: compare the SHA-256 fingerprint of its certificate before you go on:")
    print("\n".join(f"  {told[at : at + 48].rstrip(':')}" for at in range(0, len(told), 48)))


def page_url(config: Path) -> str:
    """Return where the page is served, as far as the configuration tells; it may be broken or missing."""
    from edge_app.config.proposal import shown
    from edge_app.system.networks import address_of

    try:
        page = shown(config)["page"]
    except ConfigError:
        return "https://127.0.0.1:8443/"
    address, interface = page["address"], page["interface"]
    if interface:
        address = address_of(interface) or f"ADDRESS-OF-{interface}"
    url = f"https://{url_host(address)}:{page['port']}/"
    if address == "127.0.0.1":
        return f"{url}, from another computer after ssh -L {page['port']}:127.0.0.1:{page['port']} DEVICE"
    return url


def _make(folder: Path, config: Path) -> None:
    from edge_app.config.proposal import shown
    from edge_app.web.own_certificate import make_certificate, write_certificate

    name = socket.gethostname().partition(".")[0] or "edge-app"
    addresses = ["127.0.0.1"]
    with contextlib.suppress(ConfigError):  # without a configuration, a certificate without the address is as good
        addresses = list(dict.fromkeys([*addresses, shown(config)["page"]["address"]]))
    certificate, key = make_certificate([f"{name}.local", name, "localhost"], addresses)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        write_certificate(folder, certificate, key)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    remedy = remedy_of(error, "put sudo before the command")
    return ConfigError(f"{folder} cannot be written ({reason_of(error)}): {remedy}")


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
