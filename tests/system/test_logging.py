"""Log records as text and as JSON, without secrets, and the end of the process when a thread fails."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.system import logging as logs
from edge_app.system.redaction import forget_secrets, keep_secret

log = logging.getLogger("edge_app.test")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_lines_have_time_level_logger_thread_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "auto")
    log.info("connected to %s", "broker", extra={"attempt": 3, "queue": {"unsent": 7}})
    log.debug("below the level")
    out, err = capsys.readouterr()
    assert out == ""
    record = json.loads(err)
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "INFO",
        "logger": "edge_app.test",
        "thread": "MainThread",
        "message": "connected to broker",
        "attempt": 3,
        "queue": {"unsent": 7},
    }


def test_times_are_utc_with_z(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "json")
    logging.root.handle(logging.makeLogRecord({"levelno": 20, "levelname": "INFO", "created": 0.25, "msecs": 250.0}))
    assert json.loads(capsys.readouterr().err)["time"] == "1970-01-01T00:00:00.250Z"


def test_a_line_of_text_ends_with_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("debug", "human")
    log.debug("connected", extra={"broker": "127.0.0.1", "attempt": 3})
    line = capsys.readouterr().err
    assert line.endswith(" DEBUG   edge_app.test: connected  broker=127.0.0.1  attempt=3\n")
    assert "\033" not in line


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_only_on_a_terminal_that_accepts_them(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logs.setup("info", "auto")
    log.error("lost")
    assert terminal.getvalue().startswith("\033[31m") is coloured
    assert "lost" in terminal.getvalue()


@settings(deadline=None, max_examples=40)
@given(st.text(min_size=3, max_size=20).filter(lambda text: text.strip("*") != ""), st.sampled_from(["human", "json"]))
def test_no_record_contains_a_secret(secret: str, style: logs.Format) -> None:
    forget_secrets()
    stream = io.StringIO()
    keep_secret("@" + secret, "")
    fields = {"url": "rtsp://@" + secret, "nested": {"list": ["x@" + secret], "n": 1}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        logs.setup("info", style)
        try:
            raise OSError("cannot open @" + secret)
        except OSError as exc:
            log.exception("failed: %s", "@" + secret, extra={**fields, "exc": exc})
    text = stream.getvalue()
    assert "cannot open ***" in text
    assert "@" + secret not in text
    assert json.dumps("@" + secret)[1:-1] not in text
    if style == "json":
        assert json.loads(text)["nested"] == {"list": ["x***"], "n": 1}


def test_a_python_warning_is_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old wheel", UserWarning, stacklevel=1)
    assert "old wheel" in json.loads(capsys.readouterr().err)["message"]


def run(code: str) -> tuple[int, list[dict[str, str]]]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


def test_an_exception_in_a_thread_is_one_record_and_ends_the_process() -> None:
    code, records = run(
        "import threading, time\n"
        "from edge_app.system import logging as logs\n"
        "logs.setup('info', 'json')\n"
        "threading.Thread(target=lambda: 1 / 0, name='capture').start()\n"
        "time.sleep(20)\n"
    )
    assert code == 1
    assert [record["message"] for record in records] == ["thread capture died of an uncaught exception"]
    assert "ZeroDivisionError" in records[0]["exc_info"]


def test_an_exception_in_the_main_thread_is_one_record() -> None:
    code, records = run("from edge_app.system import logging as logs\nlogs.setup('info', 'json')\n1 / 0\n")
    assert code == 1
    assert [(record["level"], record["message"]) for record in records] == [("CRITICAL", "uncaught exception")]


def test_each_line_in_the_journal_begins_with_its_priority() -> None:
    program = (
        "import os, logging; s = os.fstat(2); os.environ['JOURNAL_STREAM'] = {stream}\n"
        "from edge_app.system import logging as logs; logs.setup('debug', '{style}')\n"
        "logging.debug('a'); logging.info('b'); logging.warning('c'); logging.error('d\\ne'); logging.critical('f')\n"
    )

    def line_starts(stream: str, style: str) -> list[str]:
        command = [sys.executable, "-c", program.format(stream=stream, style=style)]
        ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return [line[:3] for line in ran.stderr.splitlines()]

    assert line_starts("f'{s.st_dev}:{s.st_ino}'", "human") == ["<7>", "<6>", "<4>", "<3>", "<3>", "<2>"]
    assert line_starts("f'{s.st_dev}:{s.st_ino}'", "json") == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert not any(start.startswith("<") for start in line_starts("'1:2'", "json")), "stderr was redirected"
