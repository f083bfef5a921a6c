"""Model of the table [view]: limits at which the camera's view is dark, blurred or moved."""

from __future__ import annotations

from pydantic import Field

from edge_app.config.types import Table


class ViewConfig(Table):
    """Monitoring of the camera's view of the road; needs no tuning."""

    watch: bool = Field(default=True, description="Check the picture once a second: dark, blind, blurred, moved.")
    dark: float = Field(
        default=24.0, ge=0, le=128, description="Dark: three quarters of the picture are below this level, 0..255."
    )
    blurred: float = Field(
        default=0.6, gt=0, lt=0.9, description="Blurred: sharpness is below this share of the learnt one."
    )
    moved: float = Field(
        default=0.015, ge=0.01, le=0.3, description="Moved: the view is shifted by this share of the frame or more."
    )
    drift: bool = Field(
        default=True, description="Compare picture, detector and traffic with the same hours of the months before."
    )
