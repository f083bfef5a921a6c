"""Keeps the frames that are worth a person's time: chosen in the inference thread, written in one of its own.

Choosing costs a fraction of a millisecond a frame, because pictures are touched only when one is about to be kept. What
is not kept is counted by reason and told in the log; a full disk or quota never disturbs the counting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

import numpy as np

from edge_app.drawing.jpeg import jpeg
from edge_app.errors import StoreError
from edge_app.harvest.folder import HarvestFolder, slug
from edge_app.harvest.picture import Redaction, thumbnail
from edge_app.harvest.selection import NOVEL, FrameScore, Novelty, Span, Uncertainty, missed, owners
from edge_app.harvest.voc import Label, annotation
from edge_app.records import LABELS, Frame, FrameResult, Image
from edge_app.system.threads import Latest

log = logging.getLogger(__name__)

_WAIT_S: Final = 1.0
_TIDY_S: Final = 3600.0
_SMALLEST_PX: Final = 2.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that may be kept: what the pipeline found in it, and what makes it worth keeping."""

    result: FrameResult
    score: FrameScore


class Harvester:
    """`observe` every frame in one thread, `run` in another; or, for a recording, `keep` what `choose` returns.

    strong: score that begins a track. every_s: at most one frame in so many seconds. model: hash, kept with every
    frame. source: what is looked at, such as site and device. clip: name of the recording, whose frames go by their
    number; those of a camera go by their time.
    """

    def __init__(
        self,
        folder: HarvestFolder,
        redaction: Redaction,
        *,
        strong: float,
        every_s: float,
        model: str,
        source: str,
        clip: str = "",
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._redaction = folder, redaction
        self._strong = strong
        self._uncertainty, self._span, self._novelty = Uncertainty(strong), Span[Candidate](every_s), Novelty()
        self._model, self._source, self._clip, self._wall = model, source, clip, wall
        self._slot: Latest[Candidate] = Latest()
        self.kept = 0
        self.passed_over: Counter[str] = Counter()
        self._told: tuple[str, str] = ("", "")

    def choose(self, result: FrameResult) -> Candidate | None:
        """Score one more frame; return the one to keep when a span of time is over."""
        score = self._uncertainty.score(result)
        return self._span.offer(result.frame.monotonic, score.worth, Candidate(result, score))

    def last(self) -> Candidate | None:
        """What the span that was not over yet would have kept."""
        return self._span.close()

    def observe(self, result: FrameResult) -> None:
        """Score one more frame of a running service, and hand over what is to be kept."""
        self._hand_over(self.choose(result))

    def close(self) -> None:
        """No more frames; `run` ends when the last one is kept."""
        self._hand_over(self.last())
        self._slot.close()

    def run(self, _stop: threading.Event) -> None:
        """Keeps what was chosen, and deletes what is too old, until `close`."""
        self.tidy()
        tidied = time.monotonic()
        while not self._slot.finished:
            if time.monotonic() - tidied >= _TIDY_S:
                self.tidy()
                tidied = time.monotonic()
            candidate = self._slot.get(_WAIT_S)
            if candidate is not None:
                self.keep(candidate)
        self.passed_over["busy"] += self._slot.dropped
        log.info("harvest ended", extra={"kept": self.kept, "passed_over": dict(self.passed_over)})

    def tidy(self) -> None:
        """Deletes the frames that are over their time."""
        gone = self._folder.expire(self._now().date())
        if gone:
            log.info("harvested frames were deleted, they were over their time", extra={"days": gone})

    def keep(self, candidate: Candidate) -> bool:
        """Writes one frame, unless it says nothing new or there is no room for it; whether it was written."""
        small = thumbnail(candidate.result.frame.image)
        reasons = dict(candidate.score.reasons) or ({NOVEL: 1} if self._novelty.unlike(small) else {})
        if not reasons:
            return self._pass_over("nothing odd")
        if self._novelty.again(small):
            return self._pass_over("seen before")
        now = self._now()
        try:
            refusal = self._write(candidate, reasons, now)
        except StoreError as error:
            self._warn(str(error))
            refusal = "fault"
        if refusal:
            return self._pass_over(refusal)
        self._novelty.keep(small)
        self.kept += 1
        return True

    def _write(self, candidate: Candidate, reasons: Mapping[str, int], now: datetime) -> str | None:
        """Why there was no room for it, or None. Raises StoreError."""
        day, name, at = now.date().isoformat(), self._name(candidate.result.frame), candidate.result.frame.captured_at
        image, labels = prelabelled(candidate.result, self._redaction, self._strong)
        picture, size = jpeg(image), (image.shape[1], image.shape[0])
        refusal = self._folder.refusal(day, name, len(picture))
        if refusal and refusal != "kept already":
            self._warn(f"no more frames are kept today: {refusal}", today=day)
        if refusal:
            return refusal
        xml = annotation(f"{name}.jpg", size, labels, f"edge-app {self._source}, model {self._model[:12]}")
        why = {
            "at": round(at, 3) if self._clip else f"{_utc(at):%Y-%m-%dT%H:%M:%SZ}",
            "source": self._source,
            "frame": candidate.result.frame.index,
            "model": self._model,
            "reasons": reasons,
            "scores": [round(label.score, 3) for label in labels],
        }
        path = self._folder.put(day, name, picture, xml, why)
        log.info("harvested", extra={"file": path.name, "reasons": reasons, "labels": len(labels)})
        return None

    def _pass_over(self, why: str) -> bool:
        self.passed_over[why] += 1
        return False

    def _warn(self, sentence: str, today: str = "") -> None:
        """Once, and again when something else was said or another day began."""
        if (sentence, today) != self._told:
            log.warning("%s", sentence)
        self._told = sentence, today

    def _now(self) -> datetime:
        return _utc(self._wall())

    def _name(self, frame: Frame) -> str:
        begins = slug(self._clip) if self._clip else f"{_utc(frame.captured_at):%Y%m%dT%H%M%SZ}"
        return f"{begins}_{frame.index:06d}"

    def _hand_over(self, candidate: Candidate | None) -> None:
        if candidate is not None:
            self._slot.put(candidate)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def prelabelled(result: FrameResult, redaction: Redaction, strong: float) -> tuple[Image, list[Label]]:
    """The picture as it is kept, and what is said to be in it.

    A detection goes by the class that its track was voted to be; a vehicle that only the tracker knows of is labelled
    where it should be. Weak detections of no track, and what lies under a mask or outside of the picture, are left out.
    """
    seen, tracks, size = result.detections, result.tracks, result.frame.size
    owner = owners(seen, tracks)
    told = np.flatnonzero((owner >= 0) | (seen.scores >= strong))
    classes = [
        tracks.classes[track] if track >= 0 else seen.classes[row] for row, track in zip(told, owner[told], strict=True)
    ]
    guessed = np.flatnonzero(missed(seen, tracks, size))
    boxes = np.concatenate([seen.boxes[told], tracks.boxes[guessed]])
    names = [LABELS[i] for i in (*classes, *tracks.classes[guessed])]
    scores = [*seen.scores[told].tolist(), *[0.0] * len(guessed)]
    hidden = redaction.hidden(boxes, size)
    image, moved = redaction.apply(result.frame.image, boxes)
    labels = [
        Label(name, (x0, y0, x1, y1), score)
        for name, (x0, y0, x1, y1), score, under in zip(names, moved.tolist(), scores, hidden, strict=True)
        if not under and min(x1 - x0, y1 - y0) >= _SMALLEST_PX
    ]
    return image, labels
