"""Detectors loaded beside the one that counts: only where memory holds them, and gone when the trial is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_app.detectors.manifest import default_model, load
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import DetectorError
from edge_app.rollout.switching import CountAnewError, Detectors, needed_mb
from edge_app.system.memory import free_mb
from tests.support.two_hashes import twin


def detectors(free: float | None, engines: int = 1) -> Detectors:
    def build(file: Path) -> TfliteDetector:
        return TfliteDetector(file, engines=engines)

    return Detectors(build(default_model()), build, lambda: free)


@pytest.mark.parametrize("free", [None, 1000.0])
def test_another_is_loaded_once_and_both_stay_until_the_others_go(tmp_path: Path, free: float | None) -> None:
    subject, file = detectors(free, engines=2), twin(tmp_path)
    own = subject.present
    new = subject.ready(file)
    assert [engine.loaded for engine in new.engines] == [engine.loaded for engine in own.engines] == [True, False]
    assert subject.present is own
    subject.took_over(new)
    assert subject.ready(file) is new
    assert subject.ready(default_model()) is own
    subject.forget_others()
    assert (own.engines, len(new.engines)) == ((), 2)
    assert subject.ready(default_model()) is not own
    subject.close()


def test_memory_that_does_not_hold_both_is_said_and_nothing_is_loaded(tmp_path: Path) -> None:
    manifest, content = load(default_model())
    needed = needed_mb(manifest, len(content), 1)
    subject = detectors(needed + 40.0)
    with pytest.raises(CountAnewError, match=rf"^{needed + 40.0:.0f} MB of memory are free, and two detectors at once"):
        subject.ready(twin(tmp_path))
    assert subject.ready(default_model()) is subject.present  # the way back needs no memory
    assert needed_mb(manifest, len(content), 2) > needed


def test_a_file_that_is_no_detector_is_no_reason_to_count_anew(tmp_path: Path) -> None:
    broken = twin(tmp_path)
    broken.write_bytes(b"no network")
    with pytest.raises(DetectorError, match="is not the file its manifest describes"):
        detectors(None).ready(broken)


def test_the_limit_of_a_unit_counts_where_it_is_below_what_the_machine_has(tmp_path: Path) -> None:
    process, groups = tmp_path / "proc" / "self", tmp_path / "cgroup"
    unit = groups / "system.slice" / "edge-app.service"
    process.mkdir(parents=True)
    unit.mkdir(parents=True)
    assert free_mb(process, groups) is None
    (process.parent / "meminfo").write_text("MemTotal:  1000000 kB\nMemAvailable:  900000 kB\n")
    assert free_mb(process, groups) == pytest.approx(921.6)
    (process / "cgroup").write_text("0::/system.slice/edge-app.service\n")
    for folder, most in ((unit, "300000000"), (unit.parent, "max")):
        (folder / "memory.max").write_text(most)
        (folder / "memory.current").write_text("250000000")
        (folder / "memory.stat").write_text("anon 200000000\ninactive_file 30000000\nactive_file 10000000\n")
    assert free_mb(process, groups) == pytest.approx(90.0)
    assert free_mb() is None or free_mb() > 0  # type: ignore[operator]
