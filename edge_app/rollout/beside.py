"""Hold the place beside the detector in service: a candidate takes it, leaves it or changes while counting goes on."""

from __future__ import annotations

from edge_app.mqtt.device_messages import ShadowHealth
from edge_app.records import FrameResult
from edge_app.rollout.shadowing import Shadow


class Beside:
    """Place of a candidate, empty at first and after its context. One thread calls `change` and `offer` each."""

    def __init__(self) -> None:
        self._shadow: Shadow | None = None

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *_: object) -> None:
        self.change(None)

    def change(self, shadow: Shadow | None) -> None:
        """End the candidate that is there, and let another one begin; None for none. It may wait for some seconds."""
        before, self._shadow = self._shadow, None
        if before is not None:
            before.__exit__()
        if shadow is not None:
            self._shadow = shadow.__enter__()

    def offer(self, result: FrameResult) -> None:
        """Leave a frame that was counted in service; see `Shadow.offer`."""
        shadow = self._shadow
        if shadow is not None:
            shadow.offer(result)

    @property
    def shadow(self) -> Shadow | None:
        """The candidate that is there."""
        return self._shadow

    @property
    def health(self) -> ShadowHealth | None:
        """What `health` tells of it; None without one."""
        shadow = self._shadow
        return None if shadow is None else shadow.health
