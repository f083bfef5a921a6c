"""Make a small set with doubtful labels, send it to a labelling program, and do there what a person does."""

from __future__ import annotations

import json
import tempfile
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from models.data import shards
from models.data.commands import main
from models.data.samples import OTHER, Sample
from tests.support.annotated import sample

HERE, NEARLY, THERE = [0.1, 0.1, 0.4, 0.5], [0.1, 0.1, 0.4, 0.51], [0.6123457, 0.5, 0.9, 0.9]


def run(*words: str | Path) -> int:
    """Run a command of models.data. Return its exit code."""
    return main([str(word) for word in words])


class Opened(Protocol):
    """A picture as a person has it open in a labelling program; boxes are numbered in their order."""

    def labels(self) -> list[str]:
        """Return the class of each box."""

    def remove(self, i: int) -> None:
        """Delete a box."""

    def relabel(self, i: int, label: str) -> None:
        """Give a box another class."""

    def move(self, i: int, px: float) -> None:
        """Move a box to the right."""

    def turn(self, i: int) -> None:
        """Turn a box by 12 degrees."""

    def ignore(self, i: int) -> None:
        """Mark a box as ignored."""


@dataclass
class InCvat:
    """A picture in CVAT."""

    image: ET.Element

    def _box(self, i: int) -> ET.Element:
        return self.image.findall("box")[i]

    def labels(self) -> list[str]:
        """Return the class of each box."""
        return [box.attrib["label"] for box in self.image.findall("box")]

    def remove(self, i: int) -> None:
        """Delete a box."""
        self.image.remove(self._box(i))

    def relabel(self, i: int, label: str) -> None:
        """Give a box another class."""
        self._box(i).set("label", label)

    def move(self, i: int, px: float) -> None:
        """Move a box to the right."""
        for side in ("xtl", "xbr"):
            self._box(i).set(side, f"{float(self._box(i).attrib[side]) + px:.2f}")

    def turn(self, i: int) -> None:
        """Turn a box by 12 degrees."""
        self._box(i).set("rotation", "12.00")

    def ignore(self, i: int) -> None:
        """Mark a box as ignored."""
        for one in self._box(i).iter("attribute"):
            one.text = "true" if one.attrib["name"] == "ignored" else one.text


@dataclass
class InLabelStudio:
    """A picture in Label Studio."""

    task: dict[str, Any]

    def _boxes(self) -> list[dict[str, Any]]:
        return [one for one in self.task["annotations"][0]["result"] if one["type"] == "rectanglelabels"]

    def labels(self) -> list[str]:
        """Return the class of each box."""
        return [one["value"]["rectanglelabels"][0] for one in self._boxes()]

    def remove(self, i: int) -> None:
        """Delete a box."""
        self.task["annotations"][0]["result"].remove(self._boxes()[i])

    def relabel(self, i: int, label: str) -> None:
        """Give a box another class."""
        self._boxes()[i]["value"]["rectanglelabels"] = [label]

    def move(self, i: int, px: float) -> None:
        """Move a box to the right."""
        one = self._boxes()[i]
        one["value"]["x"] += px / one["original_width"] * 100

    def turn(self, i: int) -> None:
        """Turn a box by 12 degrees."""
        self._boxes()[i]["value"]["rotation"] = 12

    def ignore(self, i: int) -> None:
        """Mark a box as ignored."""
        choice = {"type": "choices", "from_name": "ignored", "value": {"choices": ["ignored"]}}
        self.task["annotations"][0]["result"].append(self._boxes()[i] | choice)


Work = Callable[[Mapping[str, Any]], None]
"""What a person does with the pictures, by their file names."""


def nothing(_pictures: Mapping[str, Opened]) -> None:
    """Look, and change nothing."""


@cache
def _sent(form: str) -> dict[str, bytes]:
    """Return name -> content of every file of a set, its report and what was sent; a report takes a second."""
    made = [
        sample("a", 1, [HERE, NEARLY, THERE], [0, 3, 1], camera="x"),
        sample("c", 3, [HERE], [0], camera="x"),
        sample("night/b", 2, [HERE, HERE, THERE], [0, 0, OTHER], camera="x"),
        sample("d", 4, camera="x"),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards.write(folder / "shards", made, per_shard=2)
        assert run("report", folder / "shards", "--out", folder / "report") == 0
        words = ("--report", folder / "report", "--format", form, "--out", folder / "sent")
        assert run("doubtful", folder / "shards", *words) == 0
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class City:
    """A set of four pictures, of which two have two labels in one place; those were sent to a labelling program.

    form: "cvat" or "labelstudio".
    """

    def __init__(self, folder: Path, form: str) -> None:
        self.folder, self.form = folder, form
        self.shards, self.sent, self.corrections = folder / "shards", folder / "sent", folder / "corrections"
        for name, content in _sent(form).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def send(self, *more: str) -> None:
        """Send what is in doubt."""
        words = ("--report", self.folder / "report", "--format", self.form, "--out", self.sent)
        assert run("doubtful", self.shards, *words, *more) == 0

    def back(self, work: Work = nothing, name: str = "back") -> Path:
        """Return what the labelling program exports after a person's work."""
        return self._of_cvat(work, name) if self.form == "cvat" else self._of_label_studio(work, name)

    def _of_label_studio(self, work: Work, name: str) -> Path:
        tasks = json.loads((self.sent / "tasks.json").read_text())
        for one in tasks:
            result = [region | {"origin": "prediction"} for region in one["predictions"][0]["result"]]
            known = {"completed_by": {"email": "anna@city.example"}, "updated_at": "2026-11-30T06:36:51Z"}
            one |= {"annotations": [{"result": result} | known], "predictions": [1]}
        work({one["data"]["picture"]: InLabelStudio(one) for one in tasks})
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(tasks))
        return path

    def _of_cvat(self, work: Work, name: str) -> Path:
        with zipfile.ZipFile(self.sent / "task.zip") as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        root = ET.fromstring(files.pop("annotations.xml"))
        for box in root.iter("box"):  # CVAT rounds, and knows no other source of what was uploaded
            box.set("source", "file")
            for side in ("xtl", "ytl", "xbr", "ybr"):
                box.set(side, f"{float(box.attrib[side]):.2f}")
        meta = root.find("meta")
        assert meta is not None
        ET.SubElement(ET.SubElement(meta[0], "assignee"), "username").text = "anna"
        ET.SubElement(meta, "dumped").text = "2026-11-30 06:36:51.925679+00:00"
        work({one.attrib["name"]: InCvat(one) for one in root.iter("image")})
        path = self.folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("annotations.xml", ET.tostring(root))
            for inner, content in files.items():
                archive.writestr(inner, content)
        return path

    def merge(self, back: Path, *more: str) -> int:
        """Merge what came back. Return the exit code."""
        words = ("--sent", self.sent, "--shards", self.shards, "--corrections", self.corrections)
        return run("merge", back, *words, *more)

    def samples(self) -> dict[str, Sample]:
        """Return name -> picture."""
        return {one.name: one for one in shards.read([self.shards])}

    def files(self) -> dict[str, bytes]:
        """Return name -> content of everything in the folder of shards."""
        return {path.name: path.read_bytes() for path in self.shards.iterdir()}
