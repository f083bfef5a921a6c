"""Check that the documents are true: commands, options, keys, files and links exist, and pages are found."""

from __future__ import annotations

import functools
import importlib
import io
import json
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import get_args
from unittest import mock

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edge_app import cli
from edge_app.city import config as city
from edge_app.config.model import Config, LineConfig
from edge_app.mqtt.device_messages import SourceHealth
from edge_app.mqtt.schemas import asyncapi, schemas
from edge_app.records import Quality
from tests.support.paths import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]  # not installed where it is not needed

README, DOCS, INDEX = ROOT / "README.md", ROOT / "docs", ROOT / "docs/README.md"
DOCUMENTS = sorted(
    [
        README,
        ROOT / "CONTRIBUTING.md",
        *DOCS.rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
        *(ROOT / "models").glob("*.md"),
    ]
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LONGEST_README = 150
SPAN = re.compile(r"`([^`]+)`")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^(?: {4}|\t).*$", re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FILE_ENDINGS = {"jsonl", "json", "html", "md", "py", "sh", "sock", "toml"}
TABLES = {name for name, field in Config.model_fields.items() if hasattr(field.annotation, "model_fields")}
TABLES |= set(city.TABLES)
MADE_LATER = ("models/.cache", "models/artefacts/registry/store", "edge_app/models")
"""Folders that commands make, the last in the wheel alone; git does not know them."""
WANTED = {
    "own video": "docs/guide/own-video.md",
    "a device": "docs/deploy/device.md",
    "the MQTT contract": "docs/mqtt.md",
    "accuracy": "docs/accuracy.md",
    "limits": "docs/limits.md",
    "how to contribute": "CONTRIBUTING.md",
}
"""What a newcomer looks for, and the page that has it."""

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


# --- what is read out of a document


def fences(document: Path, language: str) -> list[str]:
    """Return the contents of the fenced blocks in one language."""
    return [text for name, text in FENCE.findall(document.read_text("utf-8")) if name == language]


def prose(document: Path) -> str:
    """Return the text without its blocks of code."""
    return INDENTED.sub("", FENCE.sub("", document.read_text("utf-8")))


def spans(document: Path) -> list[str]:
    """Return the spans of code in the prose, each on one line: long commands are wrapped."""
    return [" ".join(span.split()) for span in SPAN.findall(prose(document))]


def code(document: Path) -> list[str]:
    """Return every span of code, and every line of a block; a backslash at its end joins the next."""
    text = document.read_text("utf-8")
    blocks = [content for language, content in FENCE.findall(text) if language in ("", "sh")]
    blocks += INDENTED.findall(FENCE.sub("", text))
    return spans(document) + "\n".join(blocks).replace("\\\n", " ").splitlines()


def parts(document: Path) -> Iterator[str]:
    """Yield single commands: a line of code, cut at pipes, semicolons and comments."""
    for line in code(document):
        yield from re.split(r"&&|[|;]|(?:^|\s)#", line)


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def slugs(document: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?)\s*$", FENCE.sub("", document.read_text("utf-8")), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return set(found)


def links(document: Path) -> list[tuple[Path, str]]:
    """Return the relative links of a document: the path they lead to, and the anchor."""
    targets = [target for target in LINK.findall(prose(document)) if not re.match(r"[a-z]+:", target)]
    split = [target.partition("#") for target in targets]
    return [((document.parent / path).resolve() if path else document, anchor) for path, _, anchor in split]


# --- commands


@functools.cache
def help_of(module: str, *command: str) -> str:
    """Return what a program prints for --help, or for the help of one of its commands."""
    printed = io.StringIO()
    arguments = [module, *filter(None, command), "--help"]
    with redirect_stdout(printed), mock.patch.object(sys, "argv", arguments), pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main()
    assert ended.value.code == 0, f"{module} {' '.join(command)}: there is no such command"
    return printed.getvalue()


@each_document
def test_commands_and_their_options_exist(document: Path) -> None:
    for part in parts(document):
        used = re.search(r"(?:(?:^|[\s/])edge-app|python -m edge_app) ([a-z]+)(?![\w/=])(.*)", part)
        if used:
            assert used[1] in cli.COMMANDS, f"edge-app {used[1]}"
            words, help_text = [used[1]], help_of("edge_app.cli", used[1])
            for word in re.findall(r"(?<= )[a-z][a-z-]*(?= |$)", used[2].partition(" --")[0]):
                if not re.search(rf"^ +{word}(?: |$)", help_text, re.MULTILINE):
                    break
                words.append(word)  # a command of the command
                help_text = help_of("edge_app.cli", *words)
            assert options(used[2]) <= options(help_text), part


@each_document
def test_modules_and_their_options_exist(document: Path) -> None:
    for part in parts(document):
        used = re.search(r"python -m ((?:edge_app|models|tests)\b[\w.]*)(?: +([a-z]+))?(.*)", part)
        if not used:
            continue
        name = used[1].rstrip(".")
        module = runnable(name)
        assert module, f"python -m {name}: there is no such module, or it is a package without __main__.py"
        if name.startswith("models."):
            command = used[2] if used[2] and "COMMAND" in help_of(module) else ""
            assert options(used[3]) <= options(help_of(module, command)), part


def runnable(name: str) -> str | None:
    """Return the module that `python -m NAME` runs, or None where there is none."""
    path = ROOT.joinpath(*name.split("."))
    if path.with_suffix(".py").is_file():
        return name
    return f"{name}.__main__" if (path / "__main__.py").is_file() else None


@each_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {used[1] for part in parts(document) if (used := re.match(r"\s*(?:\$ )?make ([a-z]+)\b", part))}
    assert named <= targets


# --- configuration, files


@each_document
def test_configuration_keys_exist(document: Path) -> None:
    for span in spans(document):
        for table, key in re.findall(r"(?<![\w./-])([a-z_]+)\.([a-z_]+)\b(?!\.)", span):
            if table in TABLES and key not in FILE_ENDINGS:
                assert key in keys_of(table), f"{table}.{key}"


@each_document
def test_configuration_blocks_have_only_keys_that_exist(document: Path) -> None:
    for block in fences(document, "toml"):
        for table, values in tomllib.loads(re.sub(r"^#(?=\w+ = )", "", block, flags=re.MULTILINE)).items():
            rows = values if isinstance(values, list) else [values]
            of_city = document.name in ("city.md", "city-brokers.md")
            assert table in (city.TABLES if of_city else Config.model_fields), table
            known = set(city.TABLES[table].model_fields) if of_city else keys_of(table)
            assert {key for row in rows for key in row} <= known, table


def keys_of(table: str) -> set[str]:
    """Return the keys of a table, of a device or of the city; `source` is a part of the health message too."""
    device = LineConfig if table == "lines" else getattr(Config.model_fields.get(table), "annotation", None)
    keys = {key for model in (device, city.TABLES.get(table)) for key in getattr(model, "model_fields", {})}
    return keys | set(SourceHealth.model_fields) if table == "source" else keys


@each_document
def test_files_of_this_project_exist(document: Path) -> None:
    roots = "edge_app|models|deploy|systemd|tests|docs"
    for text in [*spans(document), *parts(document)]:
        for name in re.findall(rf"(?<![\w./-])((?:{roots})/[\w./@-]*\w)(?![\w*])", text):
            stands_for = re.search(r"\b[A-Z]{3,}\b", name.removesuffix(".md"))  # tests/ROOM, models/MODEL.tflite
            if name.startswith(MADE_LATER) or (stands_for and not (ROOT / name).exists()):
                continue
            assert (ROOT / name).exists(), f"{name} in {document.name}"
    bare = {name for text in spans(document) for name in re.findall(r"(?<![\w./-])([a-z_]+\.py)\b", text)}
    assert bare <= {path.name for room in ("edge_app", "models", "tests") for path in (ROOT / room).rglob("*.py")}


# --- links, index, README


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for path, anchor in links(document):
        assert path.exists(), f"{path} in {document.name}"
        assert not anchor or anchor in slugs(path), f"#{anchor} of {path.name} in {document.name}"


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= LONGEST_README


def test_every_page_is_in_the_index_with_a_line() -> None:
    rows = [row for row in INDEX.read_text("utf-8").splitlines() if row.startswith("| ")]
    listed = {(INDEX.parent / path).resolve() for row in rows for path in LINK.findall(row)}
    assert {page for page in DOCS.rglob("*.md") if page != INDEX} <= listed


def test_every_page_is_two_clicks_from_the_readme() -> None:
    first = {path for path, _ in links(README)}
    second = {path for page in first if page.suffix == ".md" for path, _ in links(page)}
    reached = first | second
    assert [page for page in DOCUMENTS if page != README and page not in reached] == []
    assert [wish for wish, page in WANTED.items() if ROOT / page not in reached] == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_readme_has_a_row_for_each_command(name: str) -> None:
    assert re.search(rf"^\| `{name}\b", README.read_text("utf-8"), re.MULTILINE)


# --- what a page promises to have


def test_every_quality_flag_is_explained() -> None:
    for page in ("guide/pole.md", "camera-health.md"):
        text = (DOCS / page).read_text("utf-8")
        assert [flag for flag in get_args(Quality) if f"| `{flag}` |" not in text] == []


def test_the_contract_page_has_every_topic_and_every_field() -> None:
    text = (DOCS / "mqtt.md").read_text("utf-8")
    prefix = "traffic/v1/{site}/{device}/"
    topics = {channel["address"].removeprefix(prefix) for channel in asyncapi("0")["channels"].values()}
    assert {topic for topic in topics if f"| `{topic}` |" not in text} == set()
    fields = {field for schema in schemas().values() for field in schema["properties"]}
    assert {field for field in fields if f"`{field}`" not in text and f'"{field}"' not in text} == set()


def test_the_messages_of_the_contract_page_are_valid() -> None:
    shown = [json.loads(block) for block in fences(DOCS / "mqtt.md", "json")]
    known = {schema["properties"]["schema"]["const"]: schema for schema in schemas().values()}
    assert {message["schema"] for message in shown} == set(known)
    for message in shown:
        jsonschema.validate(message, known[message["schema"]])


def test_the_map_of_rooms_is_the_one_that_is_checked() -> None:
    (drawing,) = [block for block in fences(DOCS / "architecture.md", "") if block.startswith("cli ")]
    drawn = [re.split(r" {2,}", line)[0] for line in drawing.splitlines()]
    assert drawn == PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    rows = set(re.findall(r"^\| `edge_app/(\w+)/` \|", (DOCS / "architecture.md").read_text("utf-8"), re.MULTILINE))
    assert rows == {path.parent.name for path in (ROOT / "edge_app").glob("*/__init__.py")}


def test_the_threads_of_the_table_exist() -> None:
    _, _, rest = (DOCS / "architecture.md").read_text("utf-8").partition("| thread | works on | runs |\n")
    cells = [line.split(" | ")[0] for line in rest.partition("\n\n")[0].splitlines()[1:]]
    listed = {name.split()[0] for cell in cells for name in SPAN.findall(cell)}
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "edge_app").rglob("*.py"))
    assert len(listed) > 8
    assert listed <= set(re.findall(r'(?:Worker\(|\bname=)\s*f?"([a-z-]+)', sources))


def test_the_glossary_has_each_term_once_and_in_order() -> None:
    text = (DOCS / "glossary.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| (.*?) \|$", text, re.MULTILINE)[1:]
    terms = [term.casefold() for cell, _ in rows for term in cell.split(", ")]
    assert len(rows) > 50
    assert terms == sorted(set(terms))
    assert [term for term, meaning in rows if not meaning.strip() or set(term) <= set("- ")] == []


def test_the_licences_page_has_every_dependency() -> None:
    rows = re.findall(r"^\| (`.+?) \| ([^|]+)", (DOCS / "licences.md").read_text("utf-8"), re.MULTILINE)
    listed = {
        canonicalize_name(name) for cell, licence in rows if licence.strip() for name in re.findall(r"`([^`]+)`", cell)
    }
    project = PROJECT["project"]
    asked = [*project["dependencies"], *(one for group in project["optional-dependencies"].values() for one in group)]
    names = {canonicalize_name(Requirement(one).name) for one in asked} - {canonicalize_name(project["name"])}
    assert names - listed == set()
