"""Keep the frames that are worth labelling: chosen in the counting thread, written in a thread of their own.

Choosing costs a fraction of a millisecond a frame, because pictures are touched only when one is about to be kept.
Frames that are not kept are counted by reason and logged; a full disk or quota never disturbs the counting.
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
from edge_app.harvest.selection import DRIFT, NOVEL, FrameScore, Novelty, Span, Uncertainty, missed, owners
from edge_app.harvest.voc import Label, annotation
from edge_app.records import LABELS, FloatArray, Frame, FrameResult, Image
from edge_app.system.threads import Latest

log = logging.getLogger(__name__)

_WAIT_S: Final = 1.0
_TIDY_S: Final = 3600.0
_SMALLEST_PX: Final = 2.0
"""Labels with a shorter side are left out."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that may be kept, with its result and its score."""

    result: FrameResult
    score: FrameScore


class Harvester:
    """Harvest of one camera or recording: chooses frames and keeps them.

    A service calls `observe` with every frame in one thread and `run` in another; for a recording, `keep` is called
    with each candidate that `choose` returns.

    strong: score that begins a track. every_s: at most one frame is kept in so many seconds. model: SHA-256 of the
    detector file, written beside every frame. source: name of what the frames show, such as site/device. clip: name of
    the recording, by whose frame numbers files are named; "" for a camera, where they are named by time. wall: returns
    the time, UTC s.

    model: may be set while frames are kept. kept: number of frames written. passed_over: number of candidates that were
    not kept, by reason. drifted: tells whether the camera's picture or detector is no longer as it used to be; any
    frame is worth labelling then.
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
        self.model, self._source, self._clip, self._wall = model, source, clip, wall
        self._slot: Latest[Candidate] = Latest()
        self.drifted: Callable[[], bool] = lambda: False
        self.kept = 0
        self.passed_over: Counter[str] = Counter()
        self._last_warning: tuple[str, str] = ("", "")

    def choose(self, result: FrameResult) -> Candidate | None:
        """Score one more frame; when a span of time is over, return its best frame.

        A still frame teaches nothing new, and its detections are those of another one.
        """
        if result.still:
            return None
        score = self._uncertainty.score(result)
        return self._span.offer(result.frame.monotonic, score.worth, Candidate(result, score))

    def last(self) -> Candidate | None:
        """Return the best frame of the span that is not over yet."""
        return self._span.close()

    def observe(self, result: FrameResult) -> None:
        """Score one more frame of a running service, and hand the one to keep over to `run`."""
        self._hand_over(self.choose(result))

    def close(self) -> None:
        """End the harvest: `run` keeps the last frame and returns."""
        self._hand_over(self.last())
        self._slot.close()

    def run(self, _stop: threading.Event) -> None:
        """Keep the chosen frames and delete those that are too old, until `close`."""
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
        """Delete the frames that are too old."""
        deleted = self._folder.expire(self._now().date())
        if deleted:
            log.info("harvested frames were deleted, they were over their time", extra={"days": deleted})

    def keep(self, candidate: Candidate) -> bool:
        """Write one frame, unless it shows nothing new or there is no room for it; return whether it was written."""
        small = thumbnail(candidate.result.frame.image)
        reasons = dict(candidate.score.reasons) or self._of_the_view(small)
        if not reasons:
            return self._pass_over("nothing odd")
        if self._novelty.is_repeat(small):
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

    def _of_the_view(self, small: FloatArray) -> dict[str, int]:
        """Return why a frame is worth keeping in which detector and tracker agree."""
        if self._novelty.is_new_view(small):
            return {NOVEL: 1}
        return {DRIFT: 1} if self.drifted() else {}

    def _write(self, candidate: Candidate, reasons: Mapping[str, int], now: datetime) -> str | None:
        """Write one frame; return why it was refused, None when it was written. Raises StoreError."""
        day, name, at = now.date().isoformat(), self._name(candidate.result.frame), candidate.result.frame.captured_at
        image, labels = prelabel(candidate.result, self._redaction, self._strong)
        picture, size = jpeg(image), (image.shape[1], image.shape[0])
        refusal = self._folder.refusal(day, name, len(picture))
        if refusal and refusal != "kept already":
            self._warn(f"no more frames are kept today: {refusal}", today=day)
        if refusal:
            return refusal
        xml = annotation(f"{name}.jpg", size, labels, f"edge-app {self._source}, model {self.model[:12]}")
        why = {
            "at": round(at, 3) if self._clip else f"{_utc(at):%Y-%m-%dT%H:%M:%SZ}",
            "source": self._source,
            "frame": candidate.result.frame.index,
            "model": self.model,
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
        """Log a warning, but not the same one twice in a row; with `today` it is repeated on another day."""
        if (sentence, today) != self._last_warning:
            log.warning("%s", sentence)
        self._last_warning = sentence, today

    def _now(self) -> datetime:
        return _utc(self._wall())

    def _name(self, frame: Frame) -> str:
        prefix = slug(self._clip) if self._clip else f"{_utc(frame.captured_at):%Y%m%dT%H%M%SZ}"
        return f"{prefix}_{frame.index:06d}"

    def _hand_over(self, candidate: Candidate | None) -> None:
        if candidate is not None:
            self._slot.put(candidate)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def prelabel(result: FrameResult, redaction: Redaction, strong: float) -> tuple[Image, list[Label]]:
    """Return the redacted picture of a frame and the labels to begin from.

    A detection gets the class of its track; a vehicle that only the tracker follows is labelled at its predicted place.
    Weak detections without a track, and boxes under a mask or outside of the picture, are left out.
    strong: score that begins a track.
    """
    detections, tracks, size = result.detections, result.tracks, result.frame.size
    owner = owners(detections, tracks)
    shown = np.flatnonzero((owner >= 0) | (detections.scores >= strong))
    classes = [
        tracks.classes[track] if track >= 0 else detections.classes[row]
        for row, track in zip(shown, owner[shown], strict=True)
    ]
    predicted = np.flatnonzero(missed(detections, tracks, size))
    boxes = np.concatenate([detections.boxes[shown], tracks.boxes[predicted]])
    names = [LABELS[i] for i in (*classes, *tracks.classes[predicted])]
    scores = [*detections.scores[shown].tolist(), *[0.0] * len(predicted)]
    hidden = redaction.hidden(boxes, size)
    image, redacted_boxes = redaction.apply(result.frame.image, boxes)
    labels = [
        Label(name, (x0, y0, x1, y1), score)
        for name, (x0, y0, x1, y1), score, under in zip(names, redacted_boxes.tolist(), scores, hidden, strict=True)
        if not under and min(x1 - x0, y1 - y0) >= _SMALLEST_PX
    ]
    return image, labels
