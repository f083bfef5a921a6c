"""Logging: for a person on a terminal, JSON lines for machines, always on stderr, and never with a secret in it.

Anything passed as `extra={...}` is a field of its own in JSON and `key=value` at the end of the line for a person.
systemd's journal is told each line's priority (sd-daemon(3)), so that `journalctl -p warning` works.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from types import TracebackType
from typing import Any, Final, Literal

from pythonjsonlogger.json import JsonFormatter

from edge_app.system.redaction import redacted

Format = Literal["auto", "human", "json"]

_COLOURS: Final = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31"}
_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
_OWN: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_log: Final = logging.getLogger(__name__)


def setup(level: str = "info", style: Format = "auto") -> None:
    """Sends every record of the process to stderr; called once, at the start.

    An uncaught exception becomes one record; in a thread it also ends the process with exit 1, because a service
    that has lost a part of itself must be restarted as a whole.
    """
    handler = _Stderr()
    human = style == "human" or (style == "auto" and sys.stderr.isatty())
    handler.setFormatter(_Human(colour=_wants_colour()) if human else _json())
    handler.addFilter(_redact_record)
    logging.root.handlers = [handler]
    logging.root.setLevel(level.upper())
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


class _Stderr(logging.Handler):
    """Like StreamHandler, but looks stderr up late: a live table on the terminal puts itself in its place."""

    def __init__(self) -> None:
        super().__init__()
        self._to_journal = _is_journal()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            if self._to_journal:  # it takes each line for a record of its own
                priority = next(p for level, p in _PRIORITIES if record.levelno >= level)
                text = "\n".join(f"<{priority}>{line}" for line in text.split("\n"))
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except Exception:  # logging's own rule: a record that cannot be written must not stop the work
            self.handleError(record)


def _is_journal() -> bool:
    """systemd says which file the journal is, since stderr may have been turned elsewhere since."""
    try:
        now = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{now.st_dev}:{now.st_ino}"


class _Human(logging.Formatter):
    def __init__(self, *, colour: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        self._colour = colour

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name is logging's
        fields = "".join(f"  {key}={value}" for key, value in vars(record).items() if key not in _OWN)
        line = super().formatMessage(record) + fields
        colour = _COLOURS.get(record.levelno)
        return f"\033[{colour}m{line}\033[0m" if self._colour and colour else line


def _json() -> logging.Formatter:
    names = {"asctime": "time", "levelname": "level", "name": "logger", "threadName": "thread"}
    formatter = JsonFormatter("%(asctime)s %(levelname)s %(name)s %(threadName)s %(message)s", rename_fields=names)
    formatter.converter = time.gmtime
    formatter.default_time_format, formatter.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
    return formatter


def _wants_colour() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ


def _redact_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = _shown(record.getMessage()), None
    if record.exc_info:
        # formatted here, so that the text can be redacted; without exc_info no formatter makes it again
        record.exc_text, record.exc_info = logging.Formatter().formatException(record.exc_info), None
    if record.exc_text:
        record.exc_text = _shown(record.exc_text)
    record.threadName = _shown(record.threadName)
    for key in vars(record).keys() - _OWN:
        setattr(record, key, _shown(getattr(record, key)))
    return True


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        return {str(key): _shown(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    return redacted(str(value))


def _uncaught(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, exc, trace)
    else:
        _log.critical("uncaught exception", exc_info=(kind, exc, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else "unknown"
    exc = args.exc_value or args.exc_type()
    _log.critical("thread %s died of an uncaught exception", name, exc_info=(args.exc_type, exc, args.exc_traceback))
    logging.shutdown()
    os._exit(1)  # sys.exit would end this thread alone
