"""Count the frames that the service shows, with a candidate in a pipeline of its own."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from edge_app.counting.motion import Motion
from edge_app.counting.pipeline import Pipeline
from edge_app.counting.second_look import SecondLook
from edge_app.counting.tracker import Tracker
from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import Frame
from edge_app.rollout.candidate_messages import Answer, SharedFrame
from edge_app.rollout.candidate_settings import CandidateSettings


def count(memory: int, told: IO[bytes], answers: IO[bytes]) -> None:
    """Answer each frame until `told` ends; a fault is the last answer. memory: descriptor of the shared memory."""
    try:
        pipeline, frames = build(CandidateSettings.decode(told.readline().decode())), _SharedFrames(memory)
        _write(answers, Answer())
        while line := told.readline():
            seen = SharedFrame.decode(line)
            result = pipeline.process(frames.read(seen), once=seen.once)
            _write(answers, Answer(seen.number, result.crossings))
    except BrokenPipeError:
        return  # the service has ended
    except Exception as error:  # of any kind: the service says why, and this process has no other voice
        refuse(answers, str(error) or type(error).__name__)


def refuse(answers: IO[bytes], why: str) -> None:
    """Say why there will be no more answers. why: one sentence."""
    with suppress(BrokenPipeError):
        _write(answers, Answer(failed=why))


def build(settings: CandidateSettings) -> Pipeline:
    """Load the candidate and build its pipeline. Raises DetectorError: when the model does not load."""
    s = settings
    detector = TfliteDetector(Path(s.model), score=s.weak_score, same_iou=s.same_iou, any_iou=s.any_iou)
    return Pipeline(
        detector,
        Tracker(s.tracker),
        s.lines,
        s.classes,
        band=s.band,
        region=s.region,
        motion=Motion() if s.motion else None,
        second_look=SecondLook(s.lines) if s.second_look else None,
    )


class _SharedFrames:
    """The frames in a shared memory. memory: its descriptor."""

    def __init__(self, memory: int) -> None:
        self._memory, self._slot_bytes = memory, 0
        self._shared: mmap.mmap | None = None

    def read(self, seen: SharedFrame) -> Frame:
        """Return a frame whose picture is valid until it is answered."""
        if self._shared is None or seen.slot_bytes != self._slot_bytes:
            self._slot_bytes = seen.slot_bytes
            self._shared = mmap.mmap(self._memory, os.fstat(self._memory).st_size, access=mmap.ACCESS_READ)
        pixels = np.frombuffer(self._shared, np.uint8, seen.height * seen.width * 3, seen.slot * seen.slot_bytes)
        return Frame(pixels.reshape(seen.height, seen.width, 3), seen.index, seen.at, seen.monotonic)


def _write(answers: IO[bytes], answer: Answer) -> None:
    answers.write(answer.encode())
    answers.flush()
