"""Define the command line of `python -m models.training`."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.conversion.anchors import size_of
from models.training.runs import ORDERS
from models.training.sampling import SAMPLERS


def parser(program: str) -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    result = argparse.ArgumentParser(prog=program, description="Make a better detector from annotated pictures.")
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("train", help="train, or continue a training that was ended")
    one.add_argument(
        "run", type=Path, metavar="RUN", help="folder of the training; made when absent; alone it goes on with it"
    )
    _pictures(one, required=False)
    _settings_options(one)
    _share_option(one)
    one.add_argument(
        "--trusted", type=Path, nargs="+", default=[], help="detectors (.tflite) that find missing and wrong labels"
    )
    _mlflow_option(one)
    _qat_options(commands.add_parser("qat", help="quantisation-aware: fine-tune a run's weights for int8"))
    _search_options(commands.add_parser("search", help="many short trainings over the settings that matter"))
    _runs_options(commands.add_parser("runs", help="compare trainings in one table, and copy them to MLflow"))
    last = commands.add_parser("verify", help="prove that the network is the published one, at all input sizes")
    last.add_argument("--shards", type=Path, nargs="+", required=True, help="folders with pictures to compare on")
    last.add_argument("--pictures", type=_count, default=8, help="how many (8)")
    two = commands.add_parser("export", help="write the int8 and the float32 file of a training")
    two.add_argument("run", type=Path, metavar="RUN", help="folder of the training")
    _pictures(two, required=False)
    two.add_argument("--name", metavar="NAME", help="of the files, before -WxH (default: that of RUN)")
    two.add_argument("--out", type=Path, required=True, help="folder for NAME.tflite, NAME.json and float/")
    two.add_argument("--input", type=size_of, nargs="+", metavar="WxH", dest="sizes", help="other sizes than trained")
    which = two.add_mutually_exclusive_group()
    which.add_argument("--weights", type=Path, help="other weights of the same network (default: the run's best)")
    which.add_argument("--last", action="store_true", help="the averaged weights of the run's last validation")
    two.add_argument("--pictures", type=int, default=150, help="how many calibrate (150)")
    two.add_argument("--rounding", action="store_true", help="round weights with compensation")
    two.add_argument("--lowest-logit", type=float, metavar="X", help="where the int8 range of class logits begins")
    two.add_argument(
        "--detail", type=_detail, default=1.0, metavar="0..1", help="shrink frames to this share of the input first (1)"
    )
    two.add_argument("--bicycles", action="store_true", help="made to count bicycles: the gate has rules for that")
    two.add_argument("--whole", action="store_true", help="keep channels that never change")
    _share_option(two)
    return result


def _pictures(parser: argparse.ArgumentParser, required: bool = True) -> None:
    own = "" if required else " (default: those of RUN)"
    parser.add_argument(
        "--shards", type=Path, nargs="+", required=required, help=f"folders that `models.data import` wrote{own}"
    )
    parser.add_argument("--split", type=Path, required=required, help=f"what `models.data split` wrote{own}")


def _settings_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", type=size_of, metavar="WxH", dest="size", help="the network's input (512x288)")
    parser.add_argument("--settings", type=Path, help="JSON file with settings; see models/training/settings.py")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one setting, e.g. loss.box=2")
    parser.add_argument("--weights", type=Path, help="weights.npz to begin from (default: the published ones)")


def _share_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mixed-with",
        type=_part,
        action="append",
        default=[],
        metavar="FILE:SHARE",
        help="other weights to mix in",
    )
    parser.add_argument(
        "--published-share",
        type=float,
        default=0.0,
        metavar="0..1",
        help="of the published backbone to mix in (0)",
    )


def _qat_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the new training; made when absent")
    parser.add_argument("--from", type=Path, required=True, dest="source", metavar="RUN", help="the run to begin from")
    parser.add_argument("--weights", type=Path, help="other weights of the same network (default: that run's best)")
    _pictures(parser)
    parser.add_argument("--steps", type=_count, default=1500, help="how many (1500)")
    parser.add_argument("--rate", type=float, default=5e-5, help="learning rate (5e-5)")
    parser.add_argument("--pictures", type=_count, default=100, help="how many measure the int8 ranges (100)")
    _mlflow_option(parser)


def _search_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, metavar="STUDY", help="folder of the search; made when absent")
    _pictures(parser)
    _settings_options(parser)
    parser.add_argument("--sampler", choices=SAMPLERS, default="tpe", help="how settings are chosen (tpe)")
    parser.add_argument(
        "--grid", action="append", default=[], metavar="NAME=A,B", help="a setting and its values, for --sampler grid"
    )
    parser.add_argument(
        "--trials", type=_count, help="how many trainings, earlier ones included (default: the whole grid)"
    )
    parser.add_argument("--steps", type=_count, required=True, help="of each training")
    parser.add_argument("--origins", nargs="*", default=[], metavar="NAME", help="data sets whose weight is searched")
    parser.add_argument("--hints", type=Path, help="hints.npz of a run with --trusted")
    _mlflow_option(parser)


def _runs_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="folders of trainings, or folders that hold some"
    )
    parser.add_argument("--sort", choices=ORDERS, default="score", help="what the table is sorted by (score)")
    parser.add_argument("--format", choices=("text", "csv", "markdown"), default="text", help="of the table (text)")
    _mlflow_option(parser)


def _mlflow_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mlflow", type=Path, metavar="FILE", help="SQLite file of an MLflow store that gets a copy; made when absent"
    )


def _part(text: str) -> tuple[Path, float]:
    """Return file and share of FILE:SHARE. Raises argparse.ArgumentTypeError: when it is none."""
    file, _, share = text.rpartition(":")
    value = _number(share)
    if not file or not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no FILE:SHARE: give weights and a share between 0 and 1")
    return Path(file), value


def _detail(text: str) -> float:
    """Return a share of the input in 0..1. Raises argparse.ArgumentTypeError: when it is none."""
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share of the input: give more than 0 and at most 1")
    return value


def _number(text: str) -> float:
    """Return the number in a text, 0 when there is none."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _count(text: str) -> int:
    """Return a whole number above 0. Raises argparse.ArgumentTypeError: when it is none."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
