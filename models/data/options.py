"""Define the command line of `python -m models.data`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from models.conversion.anchors import size_of
from models.conversion.manifest import DEFAULT_SIZES
from models.data.marks import What
from models.data.report.suspects import NAMES as KINDS
from models.data.samples import NO_LICENCE


def parser(
    program: str, calls: Mapping[str, Callable[..., Any]], formats: Mapping[str, Sequence[str]]
) -> argparse.ArgumentParser:
    """Return the parser of all commands.

    calls: command -> its function, whose docstring is its help and which becomes `call` of the parsed arguments.
    formats: command -> the label formats that it reads or writes.
    """
    whole = argparse.ArgumentParser(prog=program, description="Annotated pictures: import, check, split by camera.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    options = {"import": _import, "street": _street, "split": _split, "export": _export, "report": _report}
    options |= {"agree": _agree, "prelabel": _prelabel, "doubtful": _doubtful, "merge": _merge, "mark": _mark}
    for name, call in calls.items():
        what = (call.__doc__ or "").strip()
        one = commands.add_parser(name, help=what, description=what)
        one.set_defaults(call=call)
        options[name](one, formats.get(name, ()))
    return whole


def _import(parser: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    add = parser.add_argument
    add("input", type=Path, help="folder or zip of the set; for COCO, CSV and CVAT also the file")
    add("--format", choices=formats, required=True)
    add("--pictures", type=Path, metavar="DIR", help="folder of the pictures, where they are not with the labels")
    add("--out", type=Path, required=True, help="folder for the shards, index.json and problems.json")
    add("--replace", action="store_true", help="replace the shards in --out")
    add("--sources", type=Path, metavar="FILE", help="JSON: origin, licence, aspect and camera by picture name")
    add("--origin", help="who made the pictures, where no sources file says it")
    add("--licence", help=f'SPDX id of their licence, or "{NO_LICENCE}"')
    add("--credits", type=Path, metavar="CSV", help="licence and maker of single pictures: image, licence, credit")
    add("--camera", metavar="NAME", help='name of the one fixed view, or "each": every picture shows another place')
    add("--aspect", type=float, help="width / height of the scene where the pictures were stretched, as 1.7778")
    add("--class", dest="classes", nargs="+", default=[], metavar="THEIRS=OURS", help="class names; ours - leaves out")
    add("--classes-file", type=Path, metavar="FILE", help='the same as JSON {"theirs": "ours"}')
    add("--corrections", type=Path, metavar="DIR", help="folder in which `merge` keeps what people corrected")
    add("--unchecked", action="store_true", help="take a detector's labels at which nobody has looked, too")


def _street(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for the shards and index.json")
    add("--count", type=int, default=400, metavar="N", help="pictures (400)")
    add("--seed", type=int, default=1001, help="of the traffic; the demonstration and the tests use small ones (1001)")
    add("--replace", action="store_true", help="replace the shards in --out")


def _split(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    add = parser.add_argument
    add("shards", type=Path, nargs="+", help="folders that `import` wrote")
    add("--test-shards", type=Path, nargs="+", default=[], help="folders whose cameras all test")
    add("--validation", nargs="+", default=[], metavar="CAMERA", help="cameras that validate; * and ? fit many")
    add("--test", nargs="+", default=[], metavar="CAMERA", help="cameras that test")
    add("--share", type=_share, help="instead of --validation: this share of the pictures, whole cameras at random")
    add("--seed", type=int, default=1, help="of --share (default: 1)")
    add("--out", type=Path, required=True, help="the split file")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return share


def _export(parser: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    parser.add_argument("shards", type=Path, nargs="+", help="folders that `import` wrote")
    parser.add_argument("--format", choices=formats, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures, labels and sources.json")
    parser.add_argument("--replace", action="store_true", help="write over what is there")


def _agree(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    parser.add_argument("first", type=Path, metavar="A", help="folder that `import` wrote")
    parser.add_argument("second", type=Path, metavar="B", help="the same pictures, or some of them, labelled again")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="for `models.evaluation --agreement`")


def _report(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    add = parser.add_argument
    add("shards", type=Path, nargs="+", help="folders that `import` wrote")
    add("--out", type=Path, required=True, help="folder for report.html, report.json and sheets/")
    add("--input", type=size_of, default=DEFAULT_SIZES[1], metavar="WxH", help="the model's input (default: 512x288)")
    add("--model", type=Path, metavar="FILE", help="a trusted detector (.tflite, its .json beside it)")
    add("--sure", type=_share, default=0.6, help="score from which it is believed (default: 0.6)")


def _prelabel(parser: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    add = parser.add_argument
    add("input", type=Path, metavar="FOLDER", help="pictures without labels")
    add("--model", type=Path, metavar="FILE", required=True, help="a detector (.tflite, its .json beside it)")
    add("--format", choices=formats, required=True, help="CVAT, Label Studio, or voc for labelImg")
    add("--out", type=Path, required=True, help="folder for what the labelling program takes")
    add("--score", type=_share, default=0.3, help="from which a detection is a label (default: 0.3)")
    add("--replace", action="store_true", help="write over what is there")


def _doubtful(parser: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    add = parser.add_argument
    add("shards", type=Path, help="folder that `import` wrote")
    add("--report", type=Path, metavar="DIR", required=True, help="folder that `report` wrote, with --model")
    add("--format", choices=formats, required=True)
    add("--out", type=Path, required=True, help="folder for what the labelling program takes, and sent.json")
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=f"of {', '.join(KINDS)} (all)")
    add("--most", type=_count, default=200, metavar="N", help="pictures, those with the surest doubts first (200)")
    add("--replace", action="store_true", help="write over what is there")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _merge(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    add = parser.add_argument
    add("input", type=Path, metavar="BACK", help="what CVAT (zip or XML) or Label Studio (JSON) exported")
    add("--sent", type=Path, metavar="DIR", required=True, help="folder that `doubtful` wrote")
    add("--shards", type=Path, metavar="SHARDS", required=True, help="the set, whose labels are corrected")
    add("--corrections", type=Path, metavar="DIR", required=True, help="folder for the record of what was corrected")
    add("--class", dest="classes", nargs="+", default=[], metavar="THEIRS=OURS", help="class names; ours - leaves out")


def _mark(parser: argparse.ArgumentParser, _: Sequence[str]) -> None:
    add = parser.add_argument
    add("places", type=Path, metavar="DIR", help="folder that `models.evaluation --places` wrote")
    add("numbers", nargs="+", type=_numbers, metavar="N", help="places that are vehicles beyond doubt: 3 7-12")
    add("--as", dest="what", choices=get_args(What), default="unlabelled", help="kind of mark (unlabelled)")


def _numbers(text: str) -> range:
    first, sign, last = text.partition("-")
    if not first.isdecimal() or (sign and not last.isdecimal()) or int(last or first) < int(first):
        raise argparse.ArgumentTypeError(f"{text!r} is no number, and no range as 7-12")
    return range(int(first), int(last or first) + 1)
