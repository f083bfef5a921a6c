"""Test which modules import what: pure cores stay pure, and each vendor library is known in one file.

The layers and circles of packages are checked by import-linter; the rules here are those it cannot express.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.paths import ROOT

PACKAGE = ROOT / "edge_app"

PURE = {
    "records": set[str](),
    "errors": set[str](),
    "system.key_names": set[str](),
    "system.signed": set[str](),
    "system.topics": set[str](),
    "system.tables": set[str](),
    "rollout.trial": {"system.office_state"},
    "rollout.evidence": set[str](),
    "rollout.release_sums": set[str](),
    "rollout.stop_rule": {"records", "rollout", "rollout.evidence"},
    "rollout.plan": {"rollout", "rollout.stop_rule"},
    "rollout.members": {"rollout", "rollout.plan", "rollout.stop_rule"},
    "rollout.wanted_detector": {"rollout", "rollout.members"},
    "rollout.wanted_release": {"rollout", "rollout.members"},
    "rollout.following": {"rollout", "rollout.members"},
    "rollout.health_rule": set[str](),
    "rollout.strays": set[str](),
    "rollout.output_rule": {"rollout", "rollout.evidence", "rollout.strays"},
    "rollout.usual_rule": {
        "records",
        "rollout",
        "rollout.evidence",
        "rollout.leading",
        "rollout.stop_rule",
        "rollout.strays",
    },
    "rollout.leading": {"errors", "rollout", "rollout.members", "rollout.plan", "rollout.stop_rule"},
    "counting.tracker": {
        "records",
        "counting",
        "counting.association",
        "counting.boxes",
        "counting.handover",
        "counting.kalman",
        "counting.standing",
        "counting.estimates",
        "counting.track_table",
    },
    "counting.association": {"records", "counting", "counting.boxes", "counting.estimates", "counting.track_table"},
    "counting.estimates": {"records", "counting", "counting.boxes", "counting.handover", "counting.kalman"},
    "counting.track_table": {"records", "counting", "counting.boxes", "counting.estimates"},
    "counting.kalman": {"records"},
    "counting.boxes": {"records"},
    "counting.handover": {"records"},
    "counting.standing": {"records"},
    "counting.line_counter": {"records", "counting.duplicates", "counting.standing"},
    "counting.looks": set[str](),
    "counting.strides": {"records"},
    "counting.motion": {"records"},
    "counting.second_look": {"records", "counting", "counting.boxes"},
    "rollout.shadow": {"records"},
    "rollout.candidate_settings": {"records", "counting", "counting.tracker"},
    "rollout.candidate_messages": {"records"},
    "drift.signals": set[str](),
    "drift.sequential": set[str](),
    "drift.baseline": {"drift", "drift.signals"},
    "drift.judge": {"drift", "drift.baseline", "drift.sequential", "drift.signals"},
    "drift.picture": {"camera_health", "camera_health.measures", "records"},
    "drift.seen": {"drift", "drift.picture", "records"},
    "drift.collecting": {"drift", "drift.seen", "drift.signals", "records"},
    "counting.doubt": set[str](),
    "counting.duplicates": {"records"},
    "measures.expected": {"records", "measures", "measures.ground", "measures.scale_error", "measures.speed"},
    "measures.flows": {"records"},
    "measures.footprint": {"measures", "measures.ground"},
    "measures.grid": {"measures", "measures.ground"},
    "measures.ground": {"records", "errors"},
    "measures.headway": set[str](),
    "measures.live_speeds": {
        *("records", "errors", "measures.ground", "measures.scale_error"),
        *("measures.speed", "measures.track_looks"),
    },
    "measures.lane_line": {"records", "measures.ground"},
    "measures.meters": {
        "records",
        "measures.flows",
        "measures.ground",
        "measures.headway",
        "measures.lane_line",
        "measures.occupancy",
        "measures.passages",
        "measures.queue",
        "measures.speed_meter",
        "measures.track_looks",
    },
    "measures.occupancy": {"measures.spans"},
    "measures.passages": {
        "records",
        "measures",
        "measures.footprint",
        "measures.ground",
        "measures.lane_line",
        "measures.scale_error",
        "measures.track_looks",
    },
    "measures.queue": {"records", "measures.footprint", "measures.ground"},
    "measures.scale_error": {"measures", "measures.footprint", "measures.ground"},
    "measures.spans": set[str](),
    "measures.speed": {"measures", "measures.footprint", "measures.ground"},
    "measures.speed_meter": {
        "records",
        "measures.ground",
        "measures.scale_error",
        "measures.speed",
        "measures.track_looks",
    },
    "measures.speed_sums": {"measures.speed_meter"},
    "measures.track_looks": {"records"},
    "measures.interval_sums": {
        *("records", "measures.flows", "measures.ground", "measures.meters"),
        *("measures.speed_meter", "measures.speed_sums"),
    },
    "storage.counts": {"records"},
    "storage.line_intervals": {"records", "storage.counts"},
    "storage.intervals": {"records", "storage.counts", "storage.line_intervals"},
    "offline.scoring": {"records", "errors", "system.names"},
    "offline.bins": {"records"},
    "offline.measured": {
        *("records", "offline.bins", "measures.flows", "measures.interval_sums", "measures.meters"),
        *("measures.speed_meter", "measures.speed_sums"),
    },
    "detectors.ssd": {"records"},
    "detectors.letterbox": {"records"},
    "drawing.overlay": {"records", "drawing", "drawing.panel_place", "drawing.shapes", "drawing.totals_panel"},
    "drawing.panel_place": {"records", "drawing", "drawing.shapes"},
    "drawing.scene": {"records", "drawing", "drawing.overlay"},
    "counting.running_totals": {"records"},
    "counting.stage_times": set[str](),
    "system.rate_meter": set[str](),
    "system.layer_version": set[str](),
    "system.names": set[str](),
    "counting.pipeline": {
        "counting.doubt",
        "records",
        "counting.tracker",
        "counting.line_counter",
        "counting.looks",
        "counting.motion",
        "counting.second_look",
        "counting.stage_times",
        "counting.strides",
        "detectors",
        "detectors.letterbox",
    },
    "serve.fair_queue": set[str](),
    "serve.clips": set[str](),
    "serve.picture_parts": set[str](),
    "harvest.selection": {"records", "harvest"},
    "harvest.voc": {"harvest"},
    "camera_health.measures": {"records"},
    "config.layers": {"system.tables"},
    "camera_health.monitor": {"records", "camera_health.measures"},
    "monitoring.measures": {"records"},
    "city.records": {"records"},
    "city.numbers": {"city.records"},
    "city.spans": set[str](),
    "city.course": set[str](),
    "city.accuracy": set[str](),
    "city.figures": set[str](),
    "city.measured": {"records", "measures.speed_sums"},
    "city.overlaps": {"city.records"},
    "city.sums": {"city.overlaps", "city.records"},
    "city.reach": {"city.sums"},
    "city.usual": {"city.calendar", "city.reach", "city.sums"},
    "city.interval_columns": {"city.records", "city.sums"},
    "city.asking": {"city.records"},
    "city.portion": set[str](),
    "city.resting": set[str](),
    "city.pace": set[str](),
    "city.calendar": {"errors"},
    "city.feeds.observed": {"city.records", "city.sums", "records"},
    "city.feeds.datex2": {"city.feeds.observed", "records"},
    "city.feeds.fiware": {"city.feeds.observed", "records"},
    "city.feeds.sensorthings": {"city.calendar", "city.feeds.observed"},
    "city.simulator.traffic": {"city.records", "measures.speed_sums", "records"},
    "web.history": {"records", "measures.speed_sums", "storage.counts", "storage.past_intervals"},
}
"""Modules without clock, threads, files or network, and the modules of ours that each may import."""
CALCULATION = {
    "__future__", "array", "bisect", "collections", "copy", "dataclasses", "enum", "functools", "heapq", "itertools",
    "math", "numpy", "operator", "types", "typing",
}  # fmt: skip
"""Libraries that every pure module may import."""
GRANTED = {
    "offline.scoring": {"json", "pathlib", "statistics"},  # read_truth
    "offline.bins": {"csv", "io", "datetime"},  # text and times of day, of which it reads none
    "city.records": {"uuid"},
    "city.usual": {"statistics", "zoneinfo"},
    "city.measured": {"json"},
    "city.course": {"re"},
    "city.calendar": {"datetime", "zoneinfo"},  # steps of local time; it reads no clock
    "city.feeds.observed": {"datetime"},  # types; it reads no clock
    "city.feeds.datex2": {"datetime", "hashlib", "re", "xml"},  # the same, and text
    "city.feeds.sensorthings": {"datetime", "re"},
    "city.simulator.traffic": {"datetime", "zoneinfo", "zlib"},  # the same, and a seed
    "web.history": {"datetime"},  # days of a time zone; it reads no clock
    "system.names": {"unicodedata"},
    "system.key_names": {"base64", "binascii", "hashlib"},
    "rollout.candidate_settings": {"json"},
    "rollout.candidate_messages": {"json"},
    "system.signed": {"json", "re"},
    "system.tables": {"re"},
    "rollout.trial": {"hashlib"},  # text in, text out
    "rollout.plan": {"hashlib"},
    "rollout.release_sums": {"re"},
    "rollout.health_rule": {"statistics"},
    "rollout.usual_rule": {"statistics"},
    "rollout.output_rule": {"statistics"},
    "rollout.wanted_detector": {"detector"},  # a table of the configuration, in the name of a key
    "system.layer_version": {"hashlib", "re"},
    "counting.pipeline": {"time"},  # how long each stage takes, never what time it is
    "counting.motion": {"cv2"},  # smoothing
    "measures.ground": {"cv2"},  # homographies
    "detectors.ssd": {"cv2"},  # its non-maximum suppression
    "drawing.scene": {"cv2"},  # resizing
    "detectors.letterbox": {"cv2"},  # resizing
    "harvest.voc": {"xml"},
    "serve.picture_parts": {"re", "struct", "zlib"},  # bytes in, bytes out
    "camera_health.measures": {"cv2"},  # resizing and smoothing
}
"""Further libraries, by the pure module that may import them."""
VENDORS = {
    "ai_edge_litert": "detectors.tflite",
    "tflite_runtime": "detectors.tflite",
    "paho": "mqtt.client",
    "sqlite3": "storage.sqlite",
    "iotcore": "mqtt.embedded_broker",
    "gi": r"preview\.\w+|sources\.gstreamer",
    "picamera2": "sources.picamera",
    "psutil": "system.readings",
    "tomlkit": "config.edit",
    "prometheus_client": r"monitoring\.metrics|serve\.metrics|city\.metrics",
    "duckdb": "city.parquet",
    "PIL": "serve.pictures",
    "fastapi": r"serve\.api|city\.(api|routes\..+)",
    "starlette": r"serve\.api|city\.(api|routes\..+)",
    "sqlalchemy": r"city\.database\..+|city\.migrations\..+",
    "alembic": r"city\.database\.engine|city\.migrations\..+",
    "nats": r"city\.nats_inbox",
    "pika": r"city\.rabbitmq_inbox",
    "uvicorn": "http.server",
    "python_multipart": "serve.multipart",
    "httpx": "serve.client",
    "cryptography": r"system\.signatures|city\.certificate_name",
    "tomllib": "config.files",
    "tomli": "config.files",
}
"""Vendor library -> pattern of the one module that may import it; no module needs to."""
OF_A_ROOM = {"sqlalchemy", "alembic", "fastapi", "starlette"}
"""Vendors that a whole room is written in; it hands out none of their types but the transaction and the routes."""
MAY_DRAW = re.compile(
    r"(preview|drawing|sources)\..+|detectors\.(letterbox|ssd|tflite)|harvest\.picture|camera_health\.measures"
    r"|counting\.motion|measures\.ground|serve\.pictures"
)
"""The modules that work on pictures and their geometry: only these may import cv2."""
ON_TOP = re.compile(
    r"app|assembly(\..+)?|extras|checks(\..+)?|cli|__main__|config(\..+)?|commands(\..+)?"
    r"|city\.(config|order_wishes|service|demo|simulator\.device)"
)
"""The modules that may import the configuration."""
NEVER = {"models", "tensorflow", "tensorflow_cpu", "keras", "tests", "torch"}


class Import(NamedTuple):
    """One import of a module.

    name: full name. lazy: within a function or for types only. in_text: named in a string, as for importlib or a
    child process.
    """

    name: str
    lazy: bool
    in_text: bool = False


def name_of(path: Path) -> str:
    """Return a module's name within edge_app: "sources" for edge_app/sources/__init__.py, "" for edge_app itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@lru_cache(len(MODULES))
def imports(module: str) -> frozenset[Import]:
    """Return all imports of a module, also those within functions and by importlib."""
    return frozenset(_imports_in(module, ast.parse(MODULES[module].read_text("utf-8")), lazy=False))


def _imports_in(module: str, node: ast.AST, *, lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, lazy) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{module}: a relative import"
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            yield Import(full if own_name(full) in MODULES else str(node.module), lazy)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from (Import(name, lazy=True, in_text=True) for name in _modules_in(node.value))
    types_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    within = lazy or types_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _imports_in(module, child, lazy=within)


def _modules_in(text: str) -> list[str]:
    """Return the modules that a string names: the whole string, as in import_module("a.b"), or imports in code."""
    if re.fullmatch(r"[a-z_]\w*(\.\w+)+", text):
        return [text]
    return re.findall(r"^\s*(?:import|from)\s+([\w.]+)(?=\s+import\s|\s*$|\s+as\s|;)", text, re.MULTILINE)


def own_name(name: str) -> str | None:
    """Return a module's name within edge_app, None for a foreign module."""
    return name.removeprefix("edge_app").removeprefix(".") if name.split(".")[0] == "edge_app" else None


def own_imports(module: str, *, lazy: bool = True) -> set[str]:
    """Return the modules of edge_app that a module imports; without lazy, only those imported at once."""
    found = {own_name(one.name) for one in imports(module) if lazy or not one.lazy}
    return {name for name in found if name is not None and name in MODULES and name != module}


def foreign_imports(module: str) -> set[str]:
    """Return the top-level names of all foreign packages that a module imports."""
    return {one.name.split(".")[0] for one in imports(module) if own_name(one.name) is None}


def test_imports_of_every_kind_are_found() -> None:
    assert own_imports("counting.pipeline") >= {"records", "counting.tracker", "counting.line_counter", "detectors"}
    assert {"numpy", "dataclasses"} <= foreign_imports("counting.tracker")
    assert {"ai_edge_litert", "tflite_runtime"} <= foreign_imports("detectors.tflite")
    assert "sources.street.street" in own_imports("sources") - own_imports("sources", lazy=False)


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_import_only_what_is_listed(module: str) -> None:
    assert own_imports(module) - {""} <= PURE[module]
    assert foreign_imports(module) <= CALCULATION | GRANTED.get(module, set())


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_open_no_files_and_print_nothing(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"open", "print", "input", "exec", "eval", "__import__"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]


@pytest.mark.parametrize("vendor", VENDORS)
def test_each_vendor_is_imported_in_one_file(vendor: str) -> None:
    users = [module for module in MODULES if vendor in foreign_imports(module) and vendor not in OF_A_ROOM]
    assert len(users) <= 1 + VENDORS[vendor].count(
        "|"
    )  # GStreamer gives and takes pictures; a device, a service and a city are measured
    assert all(re.fullmatch(VENDORS[vendor], module) for module in users)


def test_cv2_is_imported_only_by_modules_that_work_on_pictures() -> None:
    assert {m for m in MODULES if "cv2" in foreign_imports(m) and not MAY_DRAW.fullmatch(m)} == set()


@pytest.mark.parametrize("module", MODULES)
def test_no_module_of_the_device_imports_training_or_tests(module: str) -> None:
    assert not foreign_imports(module) & NEVER


def test_values_travel_as_plain_arguments() -> None:
    """Only the top modules import the configuration."""
    users = {m for m in MODULES if any(name.split(".")[0] == "config" for name in own_imports(m))}
    assert {m for m in users if not ON_TOP.fullmatch(m)} == set()


def test_the_command_line_alone_loads_no_library() -> None:
    """It answers --help at once, and a stop from the first moment; each library would take its part of a second."""
    code = (
        "import sys; before = set(sys.modules); import edge_app.cli; new = set(sys.modules) - before;"
        "print({name.split('.')[0] for name in new} - sys.stdlib_module_names)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == (
        "{'edge_app'}\n"
    )


def test_records_and_errors_import_no_module_of_ours() -> None:
    assert own_imports("records") == own_imports("errors") == set()
    assert foreign_imports("errors") <= {"__future__"}


def test_every_foreign_import_is_a_stated_dependency() -> None:
    """An import of something that neither pyproject.toml nor apt brings would fail on a device."""
    stated = {"ai_edge_litert", "tflite_runtime", "numpy", "cv2", "paho", "pydantic", "pydantic_core"}
    stated |= {"annotated_types", "tomli", "tomlkit", "rich", "psutil", "pythonjsonlogger", "iotcore"}
    stated |= {"prometheus_client", "PIL", "fastapi", "starlette", "uvicorn", "httptools", "python_multipart", "httpx"}
    stated |= {"sqlalchemy", "alembic", "nats", "pika", "duckdb", "cryptography"}
    apt = {"gi", "picamera2"}
    names = {one.name for module in MODULES for one in imports(module) if not one.in_text}
    packages = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"edge_app"}
    assert packages <= stated | apt
