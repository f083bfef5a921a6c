"""The faults of the product, one small tree.

Each is also the built-in type a caller would expect, so `except OSError` keeps meaning what it says. The message is
one sentence for a person: what happened, where, and what to do.
"""


class EdgeAppError(Exception):
    """Any fault that the product knows how to explain."""


class ConfigError(EdgeAppError, ValueError):
    """The configuration is wrong; `problems` lists every finding as "section.key: message"."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SourceError(EdgeAppError, OSError):
    """A camera, stream or file cannot be opened or read."""


class SourceEnded(EdgeAppError, EOFError):  # noqa: N818  # the normal end is no error
    """A recording is over: the normal end, not a fault."""


class DetectorError(EdgeAppError, RuntimeError):
    """A model, its manifest or its runtime does not fit."""


class StoreError(EdgeAppError, OSError):
    """The state folder cannot be used."""


class PreviewError(EdgeAppError, OSError):
    """Nobody can look: what serves live pictures is missing, its port is taken, or there is none yet."""


class MetricsError(EdgeAppError, OSError):
    """Prometheus cannot be served: the port is taken, or the address is not ours."""


class BrokerError(EdgeAppError, ConnectionError):
    """The MQTT broker cannot be reached or refuses us."""
