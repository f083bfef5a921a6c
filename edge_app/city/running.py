"""Ask the service of a city that runs on this machine how it is, by what its page tells everybody."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from typing import Final, Literal, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from edge_app.errors import reason_of
from edge_app.system.names import url_host

_ANSWER_S: Final = 10.0

State: TypeAlias = Literal["well", "no database", "fault", "another", "none"]
"""What answers: the service, whole or not; another program; nothing at all."""


@dataclass(frozen=True, slots=True)
class Running:
    """What answers at the address of a page.

    why: of a fault, of another program or of nothing, within a sentence. version: of the service, where all is well.
    broker: whether it has its connection, None where that is not told.
    """

    state: State
    address: str
    why: str = ""
    version: str = ""
    broker: bool | None = None

    @property
    def there(self) -> bool:
        """True where the service runs."""
        return self.state in ("well", "no database", "fault")


def ask_running(host: str, port: int, *, timeout: float = _ANSWER_S) -> Running:
    """Return what answers at the address of a page. timeout: s."""
    address = f"http://{url_host(host)}:{port}"
    try:
        with build_opener(ProxyHandler({})).open(f"{address}/health", timeout=timeout) as answer:
            told = json.load(answer)
            return Running("well", address, version=str(told["version"]), broker=told.get("broker") != "away")
    except HTTPError as error:
        if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return Running("another", address, str(error.code))
        lacks = error.code == HTTPStatus.SERVICE_UNAVAILABLE
        return Running("no database" if lacks else "fault", address, str(error.code))
    except URLError as error:
        why = reason_of(error.reason) if isinstance(error.reason, OSError) else str(error.reason)
        return Running("none", address, why)
    except OSError as error:
        return Running("none", address, reason_of(error))
    except (HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return Running("another", address, "its answer is none of ours")
