"""The faults of this room."""

from __future__ import annotations

from edge_app.errors import EdgeAppError


class BuildError(EdgeAppError, RuntimeError):
    """A detector cannot be built or is not good enough; the message is one sentence for the person who builds."""


class RegistryError(EdgeAppError, RuntimeError):
    """The registry cannot do what was asked; the message is one sentence for the person who asked."""
