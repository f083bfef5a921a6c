"""Roadside counter: camera in, vehicles by class and direction out over MQTT."""

__version__ = "0.1.0"
