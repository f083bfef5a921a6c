"""Exceptions of the product, one small tree.

Each is also the built-in type that a caller expects, so `except OSError` keeps its meaning. The message is one sentence
for a person: what happened, where, and what to do.
"""


class EdgeAppError(Exception):
    """Any fault that the product can explain to a person.

    code: names the fault where a page says it in the person's language (`error.CODE` of the local page's messages,
    `refused.CODE` of the city's). parameters: what those words name.
    """

    def __init__(self, *args: object, code: str = "", **parameters: str | int | float) -> None:
        super().__init__(*args)
        self.code, self.parameters = code, parameters


class ConfigError(EdgeAppError, ValueError):
    """The configuration is wrong; `problems` lists every error as "section.key: message"."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SourceError(EdgeAppError, OSError):
    """A camera, stream or file cannot be opened or read."""


class SourceEnded(EdgeAppError, EOFError):  # noqa: N818  # the normal end is no error
    """A recording has ended normally."""


class DetectorError(EdgeAppError, RuntimeError):
    """A model, its manifest or its runtime is missing, damaged, or does not fit the others."""


class StoreError(EdgeAppError, OSError):
    """The state folder cannot be used."""


class PreviewError(EdgeAppError, OSError):
    """No live picture can be shown: its server program is missing, its port is taken, or there is no picture yet."""


class MetricsError(EdgeAppError, OSError):
    """Metrics cannot be served: the port is taken, or the address is not one of this machine."""


class ServeError(EdgeAppError, OSError):
    """The detector cannot be served: the port is taken, or the folder of its jobs cannot be used."""


class BrokerError(EdgeAppError, ConnectionError):
    """The MQTT broker cannot be reached or refuses the connection."""


class GeometryError(EdgeAppError, ValueError):
    """No plane of the road follows from the calibration, or a line lies outside it."""


class ResourceError(EdgeAppError, OSError):
    """The system lacks something at the moment (threads, memory): wait and try again."""


def reason_of(error: OSError) -> str:
    """Return why the system refused something, within a sentence."""
    return (error.strerror or str(error)).lower()
