"""Run the office's process until a step, and stand still there to be killed: CITY_TOML STEP.

Steps: "noted" when a command is noted and not yet sent, "sent" when the broker has it, "answered" when the answer has
come and is not yet noted, "set" when a layer is noted and not yet sent, "set_sent" when the broker has it; "none" for
the whole. A line says that it is there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from edge_app.city.leading import Leading
from edge_app.city.link import FleetLink


def stand() -> None:
    print("here", flush=True)
    time.sleep(3600)


def before(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*_: Any, **__: Any) -> None:
        stand()

    called.__name__ = function.__name__
    return called


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, after which the link takes what comes for a second: the broker has what was sent."""

    def called(link: FleetLink, *args: Any) -> None:
        function(link, *args)
        link.turn(1.0)
        stand()

    return called


def main(step: str, arguments: list[str]) -> int:
    if step == "noted":
        FleetLink.begin = before(FleetLink.begin)  # type: ignore[method-assign]
    elif step == "sent":
        FleetLink.begin = after(FleetLink.begin)  # type: ignore[method-assign]
    elif step == "answered":
        Leading._answered = before(Leading._answered)  # type: ignore[method-assign]
    elif step == "set":
        FleetLink.configure = before(FleetLink.configure)  # type: ignore[method-assign]
    elif step == "set_sent":
        FleetLink.configure = after(FleetLink.configure)  # type: ignore[method-assign]
    from edge_app.cli import main as cli

    return cli(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[2], ["fleet", "serve", "--config", sys.argv[1]]))
