"""A city and its broker, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.brokers import Mosquitto
from tests.support.city import City, city_broker, new_city


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return new_city(tmp_path_factory.mktemp("city"))


@pytest.fixture(scope="module")
def broker(city: City, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with city_broker(city, tmp_path_factory.mktemp("broker")) as running:
        yield running
