"""Model of the table [review]: pictures of crossings that leave the device for people of the city to check."""

from __future__ import annotations

from pydantic import Field

from edge_app.config.types import Table


class ReviewConfig(Table):
    """Pictures of single crossings, drawn at random, which the city's page shows to people who say what they see.
    Off by default: they leave this device. office.pictures must allow it too."""

    enabled: bool = Field(default=False, description="Send pictures of crossings, masked as [privacy] says.")
    every_min: int = Field(
        default=30,
        ge=5,
        le=1440,
        description="In this time at most two are sent: one of a doubtful crossing, one of another.",
    )
