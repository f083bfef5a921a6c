"""`edge-app predict`: the boxes of pictures, without a service or through one."""

from __future__ import annotations

import argparse
import threading
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.commands._pictures import list_pictures, try_outputs
from edge_app.commands._serving import MOST_BYTES, Eye, local_eye, remote_eye, serve_extra
from edge_app.errors import reason_of

if TYPE_CHECKING:
    from edge_app.serve.answers import NamedAnswer
    from edge_app.serve.outputs import Journal, PictureFile
    from edge_app.serve.predictor import Found

HELP = "find the vehicles in pictures, or in every picture of a folder, and write their boxes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pictures", metavar="PICTURE", type=Path, nargs="+", help="JPEG, PNG, WebP or BMP, or a folder of them"
    )
    parser.add_argument(
        "--out", metavar="BOXES", type=Path, help="write BOXES.json, BOXES.csv, or YOLO labels into a folder"
    )
    parser.add_argument("--draw", metavar="DIR", type=Path, help="write each picture with its boxes drawn into it")
    parser.add_argument(
        "--confidence", type=confidence, default=None, metavar="C", help="lowest score of a box, 0.05 to 1 (0.2)"
    )
    parser.add_argument(
        "--model",
        metavar="MODEL.tflite",
        help="detector to use, need not have passed the gate; with --url the name of one that the service has",
    )
    parser.add_argument(
        "--url", help="ask this service instead; its token is taken from the environment variable EDGE_APP_TOKEN"
    )


def confidence(text: str) -> float:
    """Return a lowest score. Raises ArgumentTypeError: for one that no box can be asked for with."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.05 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be 0.05 to 1, not {text}")
    return value


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Look at every picture and write the boxes; return 1 when some could not be read or the run was interrupted."""
    with serve_extra("predict"):
        from edge_app.console.terminal import stderr
        from edge_app.serve import outputs
        from edge_app.serve.answers import CONFIDENCE
        from edge_app.serve.predictor import Wish

    wish = Wish(arguments.model or "", arguments.confidence or CONFIDENCE, draw=arguments.draw is not None)
    out, draw = arguments.out, arguments.draw
    part = outputs.part_of(out) if out else None
    pictures, amiss = list_pictures(arguments.pictures, [path for path in (out, part, draw) if path])
    try_outputs(out, draw, arguments.pictures, pictures)
    for sentence in amiss:
        stderr().print(sentence)
    with ExitStack() as stack:
        eye = remote_eye(arguments.url, wish, stack) if arguments.url else local_eye(wish, stack)
        settings = {"model": eye.model_sha256, "confidence": wish.confidence, "draw": str(draw)}
        journal = stack.enter_context(outputs.Journal(part, settings)) if part else None
        answers = _look(pictures, eye, journal, draw, stop)
        if journal and not stop.is_set():
            outputs.write(out, answers)
            journal.done()
    return max(int(bool(amiss)), _print(answers, len(pictures), out, interrupted=stop.is_set()))


def _look(
    pictures: Sequence[PictureFile],
    eye: Eye,
    journal: Journal | None,
    draw: Path | None,
    stop: threading.Event,
) -> list[NamedAnswer]:
    """Return the answers in the order of the pictures, as far as it came; several are under way at once."""
    from edge_app.console.terminal import bar

    answers: list[NamedAnswer] = []
    under_way: deque[tuple[PictureFile, NamedAnswer | Future[Found]]] = deque()
    with bar(f"{len(pictures)} pictures", len(pictures)) as progress:

        def finish_oldest() -> None:
            answers.append(_finished(*under_way.popleft(), journal, draw))
            progress.forward(answers[-1].name)

        for picture in pictures:
            if stop.is_set():
                break
            under_way.append((picture, (journal and journal.known(picture)) or _begun(picture, eye)))
            if len(under_way) > eye.ahead:
                finish_oldest()
        while under_way:
            finish_oldest()
    return answers


def _begun(picture: PictureFile, eye: Eye) -> NamedAnswer | Future[Found]:
    if picture.size > MOST_BYTES:
        return _problem(
            picture.name, f"it has {picture.size:,} bytes and at most {MOST_BYTES:,} are read: name a smaller one"
        )
    try:
        return eye.submit(picture.path.read_bytes())
    except OSError as error:
        return _problem(picture.name, f"it cannot be read ({reason_of(error)})")


def _finished(
    picture: PictureFile, begun: NamedAnswer | Future[Found], journal: Journal | None, draw: Path | None
) -> NamedAnswer:
    """Wait for a picture, keep its answer and its drawing, and tell its problem."""
    from edge_app.console.terminal import stderr
    from edge_app.http.problems import RefusalError
    from edge_app.serve.answers import NamedAnswer

    answer = begun if isinstance(begun, NamedAnswer) else None
    if answer is None:
        assert isinstance(begun, Future)
        try:
            found = begun.result()
        except RefusalError as refused:
            answer = _problem(picture.name, refused.sentence)
        else:
            answer = NamedAnswer(name=picture.name, prediction=found.prediction)
            if draw and found.jpeg:
                _write_drawn(draw, picture.name, found.jpeg)
        if journal and not answer.problem:
            journal.add(picture, answer)
    if answer.problem:
        stderr().print(f"{picture.path}: {answer.problem.detail}")
    return answer


def _problem(name: str, sentence: str) -> NamedAnswer:
    from edge_app.http.problems import Problem
    from edge_app.serve.answers import NamedAnswer

    return NamedAnswer(name=name, problem=Problem(title="not a picture", status=422, detail=sentence))


def _write_drawn(folder: Path, name: str, jpeg: bytes) -> None:
    from edge_app.serve.outputs import drawn_path

    path = drawn_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg)


def _print(answers: Sequence[NamedAnswer], pictures: int, out: Path | None, *, interrupted: bool) -> int:
    from edge_app.console.terminal import stderr, stdout, table

    found = [answer.prediction for answer in answers if answer.prediction]
    if not out:
        rows = table("picture", "vehicles", "of which")
        for answer in answers:
            kinds = Counter(box.label for box in answer.prediction.boxes) if answer.prediction else Counter[str]()
            text = ", ".join(f"{n} {label}" for label, n in kinds.most_common())
            rows.add_row(answer.name, str(kinds.total()) if answer.prediction else "-", text)
        stdout().print(rows)
    unread = len(answers) - len(found)
    stdout().print(f"{sum(len(one.boxes) for one in found)} vehicles in {len(found)} of {pictures} pictures")
    if unread:
        stderr().print(f"{unread} could not be read; each is named above.")
    if interrupted:
        stderr().print("Interrupted: the same command goes on from here." if out else "Interrupted.")
    return int(bool(unread) or interrupted)
