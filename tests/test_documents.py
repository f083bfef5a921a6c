"""What the documents name is there: commands and their options, configuration keys, files, flags."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from edge_app import cli
from edge_app.config.model import Config
from edge_app.mqtt.messages import SourceHealth
from edge_app.records import Quality
from tests.support.paths import ROOT

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "deploy").rglob("*.md")])
SPAN = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"^(?:    |\t).*$|^```.*?^```", re.MULTILINE | re.DOTALL)
FILE_ENDINGS = ("jsonl", "json", "html")
TABLES = {name for name, field in Config.model_fields.items() if hasattr(field.annotation, "model_fields")}

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def code(document: Path) -> list[str]:
    """Every span of code, and every line of a block."""
    text = document.read_text("utf-8")
    blocks = "\n".join(BLOCK.findall(text))
    return SPAN.findall(BLOCK.sub("", text)) + blocks.splitlines()


def commands_in(document: Path) -> list[tuple[str, list[str]]]:
    """Each use of edge-app, as the command and its long options."""
    found = []
    for line in code(document):
        for part in re.split(r"[|;#]", line):
            if used := re.search(r"(?:^|[\s/])edge-app ([a-z]+)(?![\w/=])(.*)", part):
                found.append((used[1], re.findall(r"(?<![\w-])--[a-z][a-z-]*", used[2])))
    return found


@each_document
def test_commands_and_their_options_exist(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, options in commands_in(document):
        assert name in cli.COMMANDS, f"edge-app {name}"
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        known = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
        assert set(options) <= known, f"edge-app {name} {options}"


@each_document
def test_configuration_keys_exist(document: Path) -> None:
    for span in SPAN.findall(document.read_text("utf-8")):
        for table, key in re.findall(r"(?<![\w./-])([a-z_]+)\.([a-z_]+)\b(?!\.)", span):
            if table in TABLES and key not in FILE_ENDINGS:
                assert key in keys_of(table), f"{table}.{key}"


def keys_of(table: str) -> set[str]:
    """`source` names a table of the configuration and a part of the health message."""
    keys = set(getattr(Config.model_fields[table].annotation, "model_fields", {}))
    return keys | set(SourceHealth.model_fields) if table == "source" else keys


@each_document
def test_files_of_this_project_exist(document: Path) -> None:
    roots = "edge_app|models|deploy|systemd|tests"
    for span in SPAN.findall(document.read_text("utf-8")):
        for name in re.findall(rf"(?<![\w./-])((?:{roots})/[\w./-]*\w)", span):
            found = (ROOT / name, ROOT / f"{name}.py")
            assert any(path.exists() for path in found), f"{name} in {document.name}"


def test_every_quality_flag_is_explained_to_the_technician() -> None:
    guide = (ROOT / "docs/guide/pole.md").read_text("utf-8")
    for flag in get_args(Quality):
        assert f"| `{flag}` |" in guide, flag
