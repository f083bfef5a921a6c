"""Fixtures of all tests: logging and secrets are restored after each, and a broker is there for those that ask."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings

from edge_app.system.redaction import forget_secrets
from tests.support.brokers import Mosquitto, mosquitto

# No deadline: how long an example takes says how busy the machine is. Tests that need more examples say so.
settings.register_profile("any machine", deadline=None, max_examples=50)
settings.load_profile("any machine")


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
