"""`bench` on short videos; no test depends on the speed of the machine."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from edge_app.cli import _parser
from edge_app.commands import bench
from edge_app.counting.tracker import Tracker
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import SourceError
from edge_app.offline import benchmark
from edge_app.offline.benchmark import crowd, record_street
from edge_app.sources import open_source
from tests.support.videos import write_video

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "short.mp4", range(10))


def call(*arguments: str, stop: threading.Event | None = None) -> int:
    return bench.main(_parser().parse_args(["bench", *arguments]), stop or threading.Event())


def test_json_has_all_figures(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(str(short), "--seconds", "1", "--threads", "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["video"], found["size"], found["interpreter_threads"]) == (str(short), [160, 120], 1)
    assert set(found["stages"]) == {"decode", "detect", "track", "count", "latency"}
    for took in (*found["stages"].values(), found["crowd"], found["still"], found["part"]):
        assert 0 < took["p50"] <= took["p95"]
    # Each frame needs an inference, so its rate cannot be much higher; and at 160x120 the rest costs little beside it.
    assert 0.1 < found["ratio"] < 2
    assert found["stages"]["detect"]["p50"] < found["stages"]["latency"]["p50"] * 1.01
    assert found["rss_mb"] > 20


def test_the_table_fits_80_columns(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(str(short), "--seconds", "0.5") == 0
    out = capsys.readouterr().out
    assert "of the bare interpreter, median of 9 turns" in out
    assert "of 2 bare interpreters side by side" in out
    assert "track + count, 30 vehicles" in out
    assert "a still frame, without decoding" in out
    assert "a second look at one part" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "\033" not in out


def test_an_interrupted_run_prints_no_figures(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    stop.set()
    assert call(str(short), stop=stop) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Interrupted" in printed.err


def test_a_missing_video_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="There is no video"):
        call(str(tmp_path / "absent.mp4"))


@pytest.mark.parametrize("wrong", [("--threads", "0"), ("--threads", "x"), ("--seconds", "0"), ("--seconds", "nan")])
def test_wrong_arguments_end_with_2(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(*wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_the_turns_alternate_and_begin_and_end_with_the_interpreter() -> None:
    order: list[str] = []

    def turn(name: str) -> float:
        order.append(name)
        return float(len(order))

    turns = benchmark._turns(lambda: turn("pipeline"), lambda: turn("bare"), lambda: turn("side"), 2)
    assert order == ["bare", "pipeline", "bare", "side", "pipeline", "bare", "side"]
    assert (turns.pipeline, turns.bare, turns.side_by_side) == ([2, 5], [1, 3, 6], [4, 7])


def test_the_reference_is_one_interpreter_on_all_threads(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline is compared with the plain use of as many threads, whatever it does to be fast."""
    made: list[tuple[int, int]] = []

    class RecordedDetector(TfliteDetector):
        def __init__(self, *arguments: Any, engines: int = 1, threads: int = 1, **options: Any) -> None:
            made.append((engines, threads))
            super().__init__(*arguments, engines=engines, threads=threads, **options)

    monkeypatch.setattr("edge_app.assembly.counter.TfliteDetector", RecordedDetector)
    monkeypatch.setattr("edge_app.detectors.tflite.TfliteDetector", RecordedDetector)
    assert call(str(short), "--seconds", "0.5", "--threads", "2") == 0
    assert made == [(2, 1), (1, 2)]


def test_the_recorded_street_has_its_own_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "STREET_S", 0.4)
    source = open_source("file", path=record_street(tmp_path / "street.mp4"))
    frames = [source.read(1) for _ in range(6)]
    source.close()
    assert all(frame is not None and frame.size == (1280, 720) for frame in frames)


def test_the_crowd_is_tracked_and_counted() -> None:
    """Otherwise its time would be that of an empty road."""
    tracker, most = Tracker(), 0
    for index, detections in enumerate(benchmark._crowd_detections()):
        most = max(most, len(tracker.update(detections, index / 15)))
    assert most >= benchmark.CROWD
    assert crowd().p50 > 0
