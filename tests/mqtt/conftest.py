"""Fixtures of the publisher's tests: a state folder, and the port of each kind of broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.mqtt.embedded_broker import embedded
from tests.support.brokers import mosquitto, needs_iotcore, needs_mosquitto
from tests.support.publisher_cases import State, opened


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with opened(tmp_path) as state:
        yield state


@pytest.fixture(scope="module", params=["mosquitto", "embedded"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a running broker, once of mosquitto and once of the embedded one."""
    if request.param == "embedded":
        if needs_iotcore.args[0]:
            pytest.skip(needs_iotcore.kwargs["reason"])
        with embedded() as port:
            yield port
        return
    if needs_mosquitto.args[0]:
        pytest.skip(needs_mosquitto.kwargs["reason"])
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker.port
