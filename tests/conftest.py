"""What every test finds as it was: the logging of the process, which a command in process sets up for itself."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from edge_app import logs


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, hooks = (logging.root.handlers, logging.root.level), (sys.excepthook, threading.excepthook)
    yield
    logging.root.handlers, level = root
    logging.root.setLevel(level)
    logging.disable(logging.NOTSET)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)
    logs._secrets.clear()
