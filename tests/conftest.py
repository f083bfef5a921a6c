"""Fixtures of all tests: logging and secrets are restored after each, and a broker is there for those that ask."""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from edge_app.system.redaction import forget_secrets
from tests.support.brokers import Mosquitto, mosquitto

# No deadline: how long an example takes says how busy the machine is. Tests that need more examples say so.
settings.register_profile("any machine", deadline=None, max_examples=50)
settings.load_profile("any machine")


@pytest.hookimpl(trylast=True)  # of what -m has left
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that may take longest: one that begins last runs while the other processes have nothing."""
    takes = Counter[Path]()
    for item in items:
        takes[item.path] += _weight(item)
    items.sort(key=lambda item: -takes[item.path])


def _weight(item: pytest.Item) -> int:
    """Return about how many seconds a test takes. Its own time limit is some ten times that."""
    limit = item.get_closest_marker("timeout")
    if limit is not None and limit.args:
        return int(limit.args[0]) // 10
    return 15 if item.get_closest_marker("long") else 1


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """Restore logging, exception hooks and secrets: a command run in this process changes them."""
    root, hooks = (logging.root.handlers, logging.root.level), (sys.excepthook, threading.excepthook)
    yield
    logging.root.handlers, level = root
    logging.root.setLevel(level)
    logging.disable(logging.NOTSET)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)
    forget_secrets()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Run one mosquitto with default settings for all tests of a file."""
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as running:
        yield running
