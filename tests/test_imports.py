"""The import rule of the design, read from the sources: dependencies point one way, a vendor lives in one file."""

from __future__ import annotations

import ast
import re
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
    "counting.tracker": {"records"},
    "counting.line_counter": {"records", "counting.duplicates"},
    "counting.duplicates": {"records"},
    "storage.intervals": {"records"},
    "offline.scoring": {"records", "errors"},
    "detectors.ssd": {"records"},
    "detectors.letterbox": {"records"},
    "drawing.overlay": {"records", "drawing", "drawing.shapes", "drawing.totals_panel"},
    "drawing.scene": {"records", "drawing", "drawing.overlay"},
    "counting.running_totals": {"records"},
    "counting.stage_times": set[str](),
    "system.rate_meter": set[str](),
    "counting.pipeline": {
        "records",
        "counting.tracker",
        "counting.line_counter",
        "counting.stage_times",
        "detectors",
        "detectors.letterbox",
    },
    "harvest.selection": {"records", "harvest"},
    "harvest.voc": {"harvest"},
    "camera_health.measures": {"records"},
    "camera_health.monitor": {"records", "camera_health.measures"},
}
"""Rooms without clock, threads, files or network, and what they may know of ours."""
CALCULATION = {
    "__future__", "bisect", "collections", "dataclasses", "enum", "functools", "heapq", "itertools", "math", "numpy",
    "operator", "types", "typing",
}  # fmt: skip
"""What a pure room may import beside."""
GRANTED = {
    "offline.scoring": {"json", "pathlib"},  # read_truth
    "counting.pipeline": {"time"},  # how long each stage takes, never what time it is
    "detectors.ssd": {"cv2"},  # its non-maximum suppression
    "drawing.scene": {"cv2"},  # resizing
    "detectors.letterbox": {"cv2"},  # resizing
    "harvest.voc": {"xml"},
    "camera_health.measures": {"cv2"},  # resizing and smoothing
}
VENDORS = {
    "ai_edge_litert": "detectors.tflite",
    "tflite_runtime": "detectors.tflite",
    "paho": "mqtt.connection",
    "sqlite3": "storage.sqlite",
    "iotcore": "mqtt.embedded_broker",
    "gi": r"preview\.\w+|sources\.gstreamer",
    "picamera2": "sources.picamera",
    "psutil": "system.readings",
    "tomlkit": "config.edit",
    "prometheus_client": "monitoring.metrics",
    "tomllib": "config.load",
    "tomli": "config.load",
}
"""Where the one file that knows each may be; it may be absent."""
MAY_DRAW = re.compile(
    r"(preview|drawing|sources)\..+|detectors\.(letterbox|ssd|tflite)|harvest\.picture|camera_health\.measures"
)
"""Where pictures are: the only modules with cv2."""
ON_TOP = re.compile(r"app|extras|checks|cli|__main__|config(\..+)?|commands(\..+)?")
"""What may know the configuration."""
NEVER = {"models", "tensorflow", "tensorflow_cpu", "keras", "tests", "torch"}


class Import(NamedTuple):
    """lazy: within a function or for types only. said: in a text, as for importlib or a child process."""

    name: str
    lazy: bool
    said: bool = False


def name_of(path: Path) -> str:
    """ "" for edge_app itself, "sources" for edge_app/sources/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@lru_cache(len(MODULES))
def imports(module: str) -> frozenset[Import]:
    """All imports of a module, full names, also those within functions and by importlib."""
    return frozenset(_found(module, ast.parse(MODULES[module].read_text("utf-8")), lazy=False))


def _found(module: str, node: ast.AST, *, lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, lazy) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{module}: a relative import"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield Import(whole if ours(whole) in MODULES else str(node.module), lazy)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from (Import(name, lazy=True, said=True) for name in _named(node.value))
    types_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    within = lazy or types_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _found(module, child, lazy=within)


def _named(text: str) -> list[str]:
    """Modules that a text names: all of it as in import_module("a.b"), or code for a child process."""
    if re.fullmatch(r"[a-z_]\w*(\.\w+)+", text):
        return [text]
    return re.findall(r"^\s*(?:import|from)\s+([\w.]+)(?=\s+import\s|\s*$|\s+as\s|;)", text, re.MULTILINE)


def ours(name: str) -> str | None:
    """The name within edge_app, None for what is not ours."""
    return name.removeprefix("edge_app").removeprefix(".") if name.split(".")[0] == "edge_app" else None


def known(module: str, *, lazy: bool = True) -> set[str]:
    """The modules of ours that a module imports."""
    found = {ours(one.name) for one in imports(module) if lazy or not one.lazy}
    return {name for name in found if name is not None and name in MODULES and name != module}


def foreign(module: str) -> set[str]:
    """The first names of what is not ours."""
    return {one.name.split(".")[0] for one in imports(module) if ours(one.name) is None}


def test_the_reader_of_imports_sees_them() -> None:
    assert known("counting.pipeline") >= {"records", "counting.tracker", "counting.line_counter", "detectors"}
    assert {"numpy", "dataclasses"} <= foreign("counting.tracker")
    assert {"ai_edge_litert", "tflite_runtime"} <= foreign("detectors.tflite")
    assert "sources.street.street" in known("sources") - known("sources", lazy=False)


@pytest.mark.parametrize("module", PURE)
def test_pure_rooms_know_only_what_they_may(module: str) -> None:
    assert known(module) - {""} <= PURE[module]
    assert foreign(module) <= CALCULATION | GRANTED.get(module, set())


@pytest.mark.parametrize("module", PURE)
def test_pure_rooms_open_no_files_and_print_nothing(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"open", "print", "input", "exec", "eval", "__import__"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendor_is_known_in_one_file(vendor: str) -> None:
    knowing = [module for module in MODULES if vendor in foreign(module)]
    assert len(knowing) <= 1 + VENDORS[vendor].count("|")  # GStreamer gives pictures and takes them: two rooms
    assert all(re.fullmatch(VENDORS[vendor], module) for module in knowing)


def test_pictures_are_touched_only_where_pictures_are() -> None:
    assert {m for m in MODULES if "cv2" in foreign(m) and not MAY_DRAW.fullmatch(m)} == set()


@pytest.mark.parametrize("module", MODULES)
def test_nothing_on_the_device_knows_training_or_tests(module: str) -> None:
    assert not foreign(module) & NEVER


def test_values_travel_as_plain_arguments() -> None:
    """Only what is on top knows the configuration."""
    knowing = {m for m in MODULES if any(name.split(".")[0] == "config" for name in known(m))}
    assert {m for m in knowing if not ON_TOP.fullmatch(m)} == set()


def test_records_and_errors_are_the_ground() -> None:
    assert known("records") == known("errors") == set()
    assert foreign("errors") <= {"__future__"}


def test_nothing_is_imported_that_is_not_asked_for() -> None:
    """Only what pyproject.toml or apt brings: an import of something else would fail on a device."""
    asked = {"ai_edge_litert", "tflite_runtime", "numpy", "cv2", "paho", "pydantic", "pydantic_core", "annotated_types"}
    asked |= {"tomli", "tomlkit", "rich", "psutil", "pythonjsonlogger", "iotcore", "prometheus_client"}
    apt = {"gi", "picamera2"}
    stated = {one.name for module in MODULES for one in imports(module) if not one.said}
    everything = {name.split(".")[0] for name in stated} - sys.stdlib_module_names - {"edge_app"}
    assert everything <= asked | apt
