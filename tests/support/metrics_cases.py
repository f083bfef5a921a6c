"""Shared by the tests of the metrics: their text as Prometheus parses it, and a rig of all components."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_app.camera_health.quality import QualityMonitor
from edge_app.monitoring.health_report import Components, HealthReport
from edge_app.monitoring.metrics import exposition
from edge_app.mqtt.publisher import Publisher
from edge_app.storage.outbox import Outbox
from tests.support.brokers import eventually
from tests.support.ledger_cases import NOON
from tests.support.ports import free_port
from tests.support.publisher_cases import DEVICE, META, session_to
from tests.support.service_cases import Case

Series: TypeAlias = dict[tuple[str, frozenset[tuple[str, str]]], float]
PROMTOOL = shutil.which("promtool") or shutil.which("promtool", path=str(Path(sys.executable).parent))


def parsed(text: str) -> Series:
    """Return value by metric name and labels; fail for a series without help and type, or one that is there twice."""
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation and family.type != "unknown" for family in families)
    samples = [sample for family in families for sample in family.samples]
    series = {(sample.name, frozenset(sample.labels.items())): float(sample.value) for sample in samples}
    assert len(series) == len(samples), "a series occurs twice"
    return series


def value(series: Series, name: str, **labels: str) -> float:
    """Return one value; the prefix edge_app_ is added to the name."""
    return series[name if name.startswith("process_") else f"edge_app_{name}", frozenset(labels.items())]


def soon(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Check the condition every 0.1 s until it is true; fail after `timeout` seconds."""

    def check() -> object:
        time.sleep(0.1)
        return condition()

    eventually(check, timeout)


class Rig:
    """All real components of a device, with a scripted camera and engines, and without a broker."""

    def __init__(self, folder: Path, certificates: dict[str, Path] | None = None) -> None:
        self.folder = folder
        self.case = Case(folder)
        vars(self.case.ledger).pop("record")  # the case's wrapper, which asserts that each crossing is on disk at once
        report = HealthReport()
        self.outbox = Outbox(folder)
        self.session = session_to(free_port())
        self.publisher = Publisher(self.session, self.outbox, DEVICE, META, report.health, interval_s=60.0)
        quality = QualityMonitor(None, None)
        components = (self.case.camera, self.case.service._pipeline, self.case.ledger, quality)
        report.components = Components(*components, self.publisher, self.case.service, folder, certificates or {})
        self.report = report
        self._text = exposition(lambda: DEVICE, report.components, ["main"], ["car", "motorcycle"])

    @property
    def now(self) -> Series:
        """The present metrics."""
        return parsed(self._text().decode())

    def close(self) -> None:
        self.session.close()
        self.outbox.close()
        self.case.ledger.close(NOON)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "state")
    yield rig
    rig.close()
