"""Fill in secrets that should not be in a configuration file: passwords, the certificate's key, variables in a URL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from edge_app.config.types import expanded
from edge_app.errors import ConfigError
from edge_app.system.threads import is_passing_cause


def fill_secrets(
    tables: dict[str, Any],
    folder: Path,
    environment: Mapping[str, str],
    names: Sequence[str] = ("source", "mqtt", "preview"),
) -> Iterator[str]:
    """Put the password of each login into its table; yield one sentence for each problem. names: tables with one."""
    for name in names:
        table = tables[name]
        # Without a user name a password is not used; a variable that happens to be set must not become an error.
        if not isinstance(table, dict) or "username" not in table:
            continue
        if "password" in table and "password_file" in table:
            yield f"{name}.password_file: give either password or password_file"
        try:
            secret = _secret(name, table, folder, environment)
        except UnicodeDecodeError:
            yield f"{name}.password_file: cannot be read: it is not UTF-8 text"
            continue
        except OSError as error:
            if is_passing_cause(error):
                raise ConfigError(f"{name}.password_file: cannot be read: {error.strerror}") from error
            yield f"{name}.password_file: cannot be read: {error.strerror}"
            continue
        except ValueError as error:
            yield f"{name}.password_file: {error}"
            continue
        if secret is not None:
            tables[name] = table | {"password": secret}


def _secret(name: str, table: dict[str, Any], folder: Path, environment: Mapping[str, str]) -> SecretStr | None:
    variable = environment.get(f"EDGE_APP_{name.upper()}_PASSWORD")
    if variable is not None:
        return SecretStr(variable)
    credential = Path(environment.get("CREDENTIALS_DIRECTORY", ""), f"{name}_password")
    # The systemd unit declares every credential that may be needed; an unused one is an empty file.
    if "CREDENTIALS_DIRECTORY" in environment and _has_content(credential) and (text := _first_line(credential)):
        return SecretStr(text)
    if isinstance(table.get("password_file"), str):
        return SecretStr(_first_line(folder / expanded(Path(table["password_file"]))))
    return None


def fill_key(tables: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Use the systemd credential mqtt_key as the certificate's key: its file need not be readable to the service."""
    table = tables["mqtt"]
    credential = Path(environment.get("CREDENTIALS_DIRECTORY", ""), "mqtt_key")
    available = "CREDENTIALS_DIRECTORY" in environment and _has_content(credential)
    if available and isinstance(table, dict) and "cert_file" in table and "key_file" not in table:
        tables["mqtt"] = table | {"key_file": str(credential)}


def fill_login(tables: dict[str, Any], folder: Path, environment: Mapping[str, str], process: str) -> None:
    """Use a process's own certificate in place of the one that all have, where there is one.

    folder: of the configuration. process: its name. The file has a certificate and its key, PEM: the systemd credential
    login.pem, or login-PROCESS.pem among the credentials or beside the configuration.
    """
    table = tables.get("mqtt")
    if not isinstance(table, dict) or "cert_file" not in table:
        return
    places = [folder / login_file(process)]
    if given := environment.get("CREDENTIALS_DIRECTORY"):
        places = [Path(given, "login.pem"), Path(given, login_file(process)), *places]
    if own := next(filter(_is_login, places), None):
        tables["mqtt"] = table | {"cert_file": str(own.absolute()), "key_file": str(own.absolute())}


def login_file(process: str) -> str:
    """Return the name of the file with the certificate and key of one process. process: its name."""
    return f"login-{process}.pem"


def _is_login(path: Path) -> bool:
    """Return False also for what a unit hands over where there is no file: systemd takes no empty text for one."""
    return _has_content(path) and _first_line(path) != "none"


_OFFICE_KEY: Final = "office_key"


def is_office_credential(path: Path) -> bool:
    """Return whether a signing key's file is the one that systemd hands over."""
    return path.name == _OFFICE_KEY


def fill_office_key(tables: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Use the systemd credential office_key in place of the signing key's file, which only root need read."""
    table = tables["signing"]
    credential = Path(environment.get("CREDENTIALS_DIRECTORY", ""), _OFFICE_KEY)
    available = "CREDENTIALS_DIRECTORY" in environment and _has_content(credential)
    if available and isinstance(table, dict) and "key_file" in table:
        tables["signing"] = table | {"key_file": str(credential)}


def _has_content(path: Path) -> bool:
    """Return True for a file that is not empty; False also where this user may not look."""
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def _first_line(path: Path) -> str:
    return path.read_text("utf-8").partition("\n")[0].rstrip("\r")


def expand_url(tables: dict[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """Replace ${NAME} in the stream's URL; yield one sentence for each name that the environment lacks."""
    source = tables["source"]
    if not isinstance(source, dict) or not isinstance(source.get("url"), str):
        return
    for name in re.findall(r"\$\{(\w+)\}", source["url"]):
        if name not in environment:
            yield f"source.url: the environment has no variable {name}"
    url = re.sub(r"\$\{(\w+)\}", lambda match: environment.get(match[1], ""), source["url"])
    tables["source"] = source | {"url": url}
