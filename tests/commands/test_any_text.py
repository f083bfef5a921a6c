"""Names with brackets, control characters, or letters that the terminal lacks are text like any other."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import RenderableType

from edge_app import cli
from edge_app.commands._options import json_text, try_output, write_results
from edge_app.console import terminal
from edge_app.console.device_table import DeviceTable
from edge_app.console.tables import devices_view, line_text
from edge_app.errors import ConfigError, StoreError
from edge_app.mqtt.events import Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.system.names import clean
from tests.support.bad_input_cases import PROGRAM
from tests.support.disks import fill_disk, small_disk
from tests.support.videos import write_video

__all__ = ["small_disk"]  # a fixture

ODD = (
    *("to [/A4]", "[bold]x[/bold]", ":car: :smile:", "[link=http://x]", "a[b]c", "\\[x]", "[[["),
    *("\u2026 \u00fcn\u00ef \u4eba", "\x1b[31mred", "\udcff"),
)


def printed(what: RenderableType, monkeypatch: pytest.MonkeyPatch) -> str:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "utf-8", "backslashreplace"))
    terminal.stdout().print(what)
    sys.stdout.flush()
    return raw.getvalue().decode()


def shown(text: str) -> str:
    return clean(text)


@pytest.mark.parametrize("text", ODD)
def test_a_text_is_printed_as_it_is(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(text, monkeypatch).rstrip("\n") == shown(text)


@pytest.mark.parametrize("text", ODD)
def test_names_in_a_table_are_shown_as_they_are(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = terminal.table("first", text, title=text)
    rows.add_row(text, text)
    assert printed(rows, monkeypatch).count(shown(text)) >= 4
    counts = {"car": {"left_to_right": 1, "right_to_left": 2}}
    assert shown(text) in printed(terminal.counts_table(text, counts, [text, "x"]), monkeypatch)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ODD)
def test_one_device_cannot_end_the_table_of_all(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    devices, counts = DeviceTable("traffic/v1"), json.loads(json.dumps(EXAMPLES["counts"]))
    if "\udcff" in text:
        pytest.skip("not in a message: JSON is UTF-8")
    both = {"left_to_right": 7, "right_to_left": 5}
    for key in ("counts", "totals"):
        counts[key] = {text: both, "car": both}
    counts["quality"] = [text]
    topic = f"traffic/v1/{counts['site']}/{counts['device']}/counts/{counts['line']}"
    update = devices.add(Message(topic, json.dumps(counts).encode()))
    assert update is not None
    view = printed(devices_view(devices, datetime.now(timezone.utc)), monkeypatch)
    assert "   7   5" in view
    assert "\x1b[31m" not in view + line_text(update)
    assert shown(text) in line_text(update)


def test_count_shows_what_the_terminal_lacks(tmp_path: Path) -> None:
    video = write_video(tmp_path / "Stra\u00dfe [A4] \u4eba.mp4", range(5))
    config = tmp_path / "edge-app.toml"
    config.write_text(
        '[[lines]]\nid = "a"\nstart = [0.1, 0.5]\nend = [0.9, 0.5]\n'
        'left_to_right = "to [/A4] \u2026"\nright_to_left = "\u4eba"\n',
        "utf-8",
    )
    command = [*PROGRAM, "count", str(video), "--config", str(config), "--out", str(tmp_path / "out.json")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    assert b"to [/A4]" in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["frames"] == 5


# --- a result is never lost


def test_an_output_that_cannot_be_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "absent" / "x.json", tmp_path / "file" / "x.json", tmp_path / ("x" * 300) / "y"):
        with pytest.raises(ConfigError):
            try_output(path)
    for path in (tmp_path / "x.json", tmp_path / "file", Path(os.devnull)):
        try_output(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_full_disk_is_found_before_the_work(small_disk: Path) -> None:
    fill_disk(small_disk)
    with pytest.raises(StoreError, match="no space left"):
        try_output(small_disk / "x.json")


def test_count_refuses_a_folder_as_output_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", str(tmp_path / "absent.mp4"), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr() == ("", f"edge-app: {tmp_path} is a folder; name a file in it\n")


def test_a_result_that_cannot_be_written_after_all_is_kept_elsewhere(tmp_path: Path) -> None:
    (problem,) = write_results({tmp_path / "gone" / "x.json": json_text({"frames": 5})})
    assert "the result is in " in problem
    place = Path(problem.rpartition(" in ")[2])
    assert json.loads(place.read_text()) == {"frames": 5}
    place.unlink()


def test_a_result_is_written_before_it_is_printed(tmp_path: Path) -> None:
    """/dev/full refuses everything that is printed."""
    video = write_video(tmp_path / "road.mp4", range(5))
    with open("/dev/full", "w") as full:  # noqa: PTH123  # a device
        command = [*PROGRAM, "count", str(video), "--out", str(tmp_path / "out.json")]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "the output cannot be written (no space left on device)" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["frames"] == 5


@pytest.mark.long
def test_a_disk_that_fills_up_costs_the_annotated_video_and_not_the_counts(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "noise.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (320, 240))
    random = np.random.default_rng(5)
    for _ in range(40):
        writer.write(random.integers(0, 255, (240, 320, 3), np.uint8))
    writer.release()
    out, video = tmp_path / "result.json", small_disk / "out.mp4"
    assert cli.main(["count", str(tmp_path / "noise.avi"), "--out", str(out), "--annotate", str(video)]) == 1
    assert json.loads(out.read_text())["frames"] == 40
    printed = capsys.readouterr()
    assert "40 frames" in printed.out
    assert "cannot write the video" in printed.err


def test_a_problem_with_a_strange_name_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", str(tmp_path / "a\x1b[31m\nb.mp4")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "\x1b" not in line


# --- standard streams that are not there


@pytest.mark.parametrize(
    ("closed", "code"),
    [
        pytest.param("2>&-", 0, marks=pytest.mark.long),
        pytest.param(">&-", 0, marks=pytest.mark.long),
        ("2>/dev/full", 1),
        ("<&- >&- 2>&-", 0),
    ],
)
def test_streams_that_are_closed_or_full_cost_no_result(tmp_path: Path, closed: str, code: int) -> None:
    video, out = write_video(tmp_path / "road.mp4", range(5)), tmp_path / "result.json"
    command = f'"{sys.executable}" -m edge_app count "{video}" --out "{out}" {closed}'
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert json.loads(out.read_text())["frames"] == 5
    assert "Traceback" not in done.stderr


def test_a_result_for_stdout_is_added_to_the_file_behind_it(tmp_path: Path) -> None:
    video, log = write_video(tmp_path / "road.mp4", range(5)), tmp_path / "log.txt"
    log.write_text("precious\n")
    command = f'"{sys.executable}" -m edge_app count "{video}" --out /dev/stdout >> "{log}"'
    assert subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=60, check=False).returncode == 0
    text = log.read_text()
    assert text.startswith('precious\n{\n "schema"')
    assert "5 frames" in text
