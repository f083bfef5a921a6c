"""Write log records to stderr, as text on a terminal or as JSON lines for machines, never with a secret in them.

Each key of `extra={...}` becomes a field in JSON, and `key=value` at the end of a line of text. In systemd's journal
each line begins with its priority (sd-daemon(3)), so that `journalctl -p warning` works.

A service logs through a bounded queue (`queued`): no stderr that nobody reads stops it.
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

from edge_app.system.log_writer import LogWriter, own_stderr
from edge_app.system.redaction import redacted

Format = Literal["auto", "human", "json"]

_COLOURS: Final = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31"}
_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
_STANDARD: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_log: Final = logging.getLogger(__name__)
_queue: LogWriter | None = None


def setup(level: str = "info", style: Format = "auto", *, queued: bool = False) -> None:
    """Send every record of the process to stderr; call it at the start, and again for another form.

    queued: never wait for stderr; what it does not take is dropped and counted in `dropped`.
    An uncaught exception becomes one record; in a thread it also ends the process with exit 1, because a service that
    has lost one of its threads must be restarted as a whole.
    """
    handler = _StderrHandler()
    human = style == "human" or (style == "auto" and sys.stderr.isatty())
    handler.setFormatter(_TextFormatter(colour=_wants_colour()) if human else _json_formatter())
    handler.addFilter(_redact_record)
    global _queue  # there is one stderr, as there is one logging.root
    _queue = (_queue or LogWriter(handler.gap, own_stderr())) if queued else None
    logging.root.handlers = [handler]
    logging.root.setLevel(level.upper())
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def set_level(level: str) -> None:
    """Have records from this level on written."""
    logging.root.setLevel(level.upper())


def dropped() -> int:
    """Return the number of records that were dropped since the start, because nobody read stderr."""
    return _queue.dropped if _queue else 0


def recent() -> list[str]:
    """Return the last lines of the log, the oldest first; none where it goes straight to stderr."""
    return _queue.recent if _queue else []


def print_line(text: str) -> None:
    """Print a line on stderr, as the log does: after `setup` with `queued` it waits no longer than a second."""
    queue = _used_queue()
    if queue is None:
        print(text, file=sys.stderr)
    else:
        queue.put(text)
        queue.flush()


def _used_queue() -> LogWriter | None:
    """Return the queue; None where records go to `sys.stderr`, also because a live table has replaced it."""
    return _queue if sys.stderr is sys.__stderr__ else None


class _StderrHandler(logging.Handler):
    """StreamHandler that looks `sys.stderr` up for each record: a live table on the terminal replaces it."""

    def __init__(self) -> None:
        super().__init__()
        self._to_journal = _is_journal()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            if self._to_journal:  # the journal makes a record of each line
                priority = next(p for level, p in _PRIORITIES if record.levelno >= level)
                text = "\n".join(f"<{priority}>{line}" for line in text.split("\n"))
            queue = _used_queue()
            if queue is not None:
                queue.put(text)
                return
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except Exception:  # the rule of `logging`: a record that cannot be written must not stop the program
            if _queue is None:  # else nothing may be written past the queue
                self.handleError(record)

    def flush(self) -> None:
        """Wait for the queue, but not for ever; `logging` calls this at the end of the program."""
        if _queue is not None:
            _queue.flush()

    def gap(self, n: int) -> str:
        """Return the line to write where records are missing."""
        record = _log.makeRecord(
            _log.name, logging.WARNING, "", 0, "%d log messages were dropped: nobody read them", (n,), None
        )
        return self.format(record)


def _is_journal() -> bool:
    """Return True when stderr is the file that systemd names as the journal; it may have been redirected since."""
    try:
        stderr = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


class _TextFormatter(logging.Formatter):
    def __init__(self, *, colour: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        self._colour = colour

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name is logging's
        fields = "".join(f"  {key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        line = super().formatMessage(record) + fields
        colour = _COLOURS.get(record.levelno)
        return f"\033[{colour}m{line}\033[0m" if self._colour and colour else line


def _json_formatter() -> logging.Formatter:
    names = {"asctime": "time", "levelname": "level", "name": "logger", "threadName": "thread"}
    formatter = JsonFormatter("%(asctime)s %(levelname)s %(name)s %(threadName)s %(message)s", rename_fields=names)
    formatter.converter = time.gmtime
    formatter.default_time_format, formatter.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
    return formatter


def _wants_colour() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ


def _redact_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = _redact_value(record.getMessage()), None
    if record.exc_info:
        # Formatted here, so that the text can be redacted; without exc_info no formatter formats it again.
        record.exc_text, record.exc_info = logging.Formatter().formatException(record.exc_info), None
    if record.exc_text:
        record.exc_text = _redact_value(record.exc_text)
    record.threadName = _redact_value(record.threadName)
    for key in vars(record).keys() - _STANDARD:
        setattr(record, key, _redact_value(getattr(record, key)))
    return True


def _redact_value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        return {str(key): _redact_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact_value(item) for item in value]
    return redacted(str(value))


def _uncaught(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, exc, trace)
    else:
        _log.critical("uncaught exception", exc_info=(kind, exc, trace))


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    _log.error("exception ignored in %r", args.object, exc_info=args.exc_value)


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else "unknown"
    exc = args.exc_value or args.exc_type()
    _log.critical("thread %s died of an uncaught exception", name, exc_info=(args.exc_type, exc, args.exc_traceback))
    logging.shutdown()
    os._exit(1)  # sys.exit would end only this thread
