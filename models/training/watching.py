"""Train in sight of a person: the time it takes, a progress bar, and how it ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from models.training import outcome, pace
from models.training.folder import RunFolder
from models.training.loop import REPORT_EVERY, Progress, Training
from models.training.scenes import Parts
from models.training.settings import Settings


def run(
    training: Training,
    folder: RunFolder,
    settings: Settings,
    parts: Parts,
    console: Console,
    copy: Callable[[], None] = lambda: None,
) -> None:
    """Train to the end.

    copy: called after each validation, to bring copies of the run's record up to date.
    Raises StoppedError: at SIGTERM. Raises DivergedError: when what was learned is lost.
    """
    if training.step:
        console.print(f"{folder.path}: continuing at step {training.step}.")
    if training.step < settings.steps:
        earlier = outcome.earlier_rate(folder.metrics())
        console.print(pace.announced(settings, training.step, len(parts.validation), earlier))
    stop_signals: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: stop_signals.append(number))
    try:
        _watch(training, settings, console, lambda: bool(stop_signals), copy)
    finally:
        signal.signal(signal.SIGTERM, before)
    if stop_signals and training.step < settings.steps:
        raise outcome.stopped(folder, settings, training.step)
    console.print(outcome.ended(folder, settings))


def _watch(
    training: Training, settings: Settings, console: Console, stop: Callable[[], bool], copy: Callable[[], None]
) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # The first report holds the time in which TensorFlow builds its functions: the pace is taken from there on.
    paces: list[pace.Pace] = []
    began = training.step
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=settings.steps, completed=training.step)

        def show(progress: Progress) -> None:
            figures = " ".join(f"{name} {value:.3f}" for name, value in progress.figures.items())
            if not paces:
                paces.append(pace.Pace(progress.step, settings.steps, time.monotonic()))
            left = paces[0].text(progress.step)
            bar.update(task, completed=progress.step, description=f"{left} loss {progress.loss:.3f} {figures}")
            if not console.is_terminal and (progress.step % 250 == 0 or progress.step - began <= 2 * REPORT_EVERY):
                speed = f"{progress.images_per_s:.1f} images/s {left}"
                print(f"step {progress.step}: loss {progress.loss:.4f}, {speed}  {figures}", flush=True)

        def validated(_step: int, _figures: Mapping[str, float]) -> None:
            copy()

        training.run(show, stop, validated)
