"""What the tests of the metrics share: their text as Prometheus parses it, and a scene of all components."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from prometheus_client.parser import text_string_to_metric_families

from edge_app.camera_health.quality import QualityMonitor
from edge_app.monitoring.health_report import Components, Report
from edge_app.monitoring.metrics import exposition
from edge_app.mqtt.publisher import Publisher
from edge_app.storage.sqlite import Outbox
from tests.support.brokers import eventually, free_port
from tests.support.ledger_cases import NOON
from tests.support.publisher_cases import DEVICE, META, session_to
from tests.test_service import Case

Series: TypeAlias = dict[tuple[str, frozenset[tuple[str, str]]], float]
PROMTOOL = shutil.which("promtool") or shutil.which("promtool", path=str(Path(sys.executable).parent))


def parsed(text: str) -> Series:
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation and family.type != "unknown" for family in families)
    samples = [sample for family in families for sample in family.samples]
    series = {(sample.name, frozenset(sample.labels.items())): float(sample.value) for sample in samples}
    assert len(series) == len(samples), "a series stands twice"
    return series


def value(series: Series, name: str, **labels: str) -> float:
    return series[name if name.startswith("process_") else f"edge_app_{name}", frozenset(labels.items())]


def soon(what: Callable[[], object], timeout: float = 10.0) -> None:
    """As `eventually`, of what does not wait itself."""

    def patiently() -> object:
        time.sleep(0.1)
        return what()

    eventually(patiently, timeout)


class Scene:
    """All components, real ones: a camera and engines that do what the test says, and a broker that is not there."""

    def __init__(self, folder: Path, certificates: dict[str, Path] | None = None) -> None:
        self.case = Case(folder)
        vars(self.case.ledger).pop("record")  # the case's own, which wants each crossing on disk at once
        report = Report()
        self.outbox = Outbox(folder)
        self.session = session_to(free_port())
        self.publisher = Publisher(self.session, self.outbox, DEVICE, META, report.health, interval_s=60.0)
        quality = QualityMonitor(None, None)
        components = (self.case.camera, self.case.service._pipeline, self.case.ledger, quality)
        report.components = Components(*components, self.publisher, self.case.service, folder, certificates or {})
        self.report = report
        self._text = exposition(DEVICE, report.components, ["main"], ["car", "motorcycle"])

    @property
    def now(self) -> Series:
        return parsed(self._text().decode())

    def close(self) -> None:
        self.session.close()
        self.outbox.close()
        self.case.ledger.close(NOON)
