"""Pictures of crossings and figures of devices: taken, kept for their time, answered, told, written as labels."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import cv2
import httpx
import numpy as np
import pytest
from sqlalchemy import func, select

from edge_app.city.api import build_api
from edge_app.city.database.audit import read_audit
from edge_app.city.database.engine import Database
from edge_app.city.database.figures import KEPT_S, forget_figures, note_figures, read_figures
from edge_app.city.database.reviews import answered_pictures, forget_reviews, store_reviews
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import REVIEW
from edge_app.city.figures import columns_of
from edge_app.city.labels import write_labels
from edge_app.city.live import Live
from edge_app.city.reading import ReadReview, UnreadableError, read_counts, read_review
from edge_app.city.routes.city import City
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.figures import Figures
from tests.city.cases import NAME, START, changed, series
from tests.city.test_api import at
from tests.city.test_storing import make_site, roll, store
from tests.support.city_api import client_of

MESSAGE = EXAMPLES["reviews"]
DAY = 86_400


@pytest.fixture
def client(database: Database) -> Iterator[httpx.Client]:
    with client_of(build_api(City(database, Live(), utc=lambda: START + 600.0))) as made:
        yield made


def picture() -> bytes:
    image = np.full((160, 240, 3), 90, np.uint8)
    image[40:128, 52:180] = (0, 0, 255)
    return bytes(cv2.imencode(".jpg", image)[1])


def review(number: int, *, doubtful: bool = True, label: str = "car", stands_for: int = 3) -> ReadReview:
    return ReadReview(
        UUID(int=number), NAME, START + number, label, "left_to_right", 0.5, doubtful, stands_for, "e5f5da65719a",
        (52, 40, 180, 128), picture(),
    )  # fmt: skip


def keep(database: Database, *reviews: ReadReview, arrived: int = START) -> None:
    with database.begin() as connection:
        key = Storing().line(connection, NAME)
        store_reviews(connection, [(key, one) for one in reviews], arrived)


def test_a_message_is_read_and_what_no_device_sends_is_refused() -> None:
    found = read_review(NAME, json.dumps(MESSAGE).encode())
    assert (found.id.hex, found.label, found.stands_for) == (MESSAGE["id"], "car", 3)
    assert found.picture.startswith(b"\xff\xd8\xff")
    for change, why in (
        ({"picture": "?"}, "base64"),
        ({"picture": base64.b64encode(b"GIF89a").decode()}, "JPEG"),
        ({"class": "person"}, "class"),
        ({"line": "other"}, "topic"),
        ({"box": [0, 0, 20_000, 1]}, "box"),
        ({"stands_for": 0}, "stands_for"),
    ):
        with pytest.raises(UnreadableError, match=why):
            read_review(NAME, json.dumps({**MESSAGE, **change}).encode())


def test_more_doubtful_crossings_than_counted_ones_are_refused() -> None:
    counts = {**EXAMPLES["counts"], "doubtful": {"car": 5}}
    name = NAME._replace(site=counts["site"], device=counts["device"], line=counts["line"])
    with pytest.raises(UnreadableError, match="more than it counts"):
        read_counts(name, json.dumps(counts).encode(), START)


def test_doubtful_crossings_are_added_up_by_step(database: Database, client: httpx.Client) -> None:
    site = make_site(database)
    one, two, *rest = series(30)
    doubtful = [changed(two, measures=json.dumps({"doubtful": {"car": 1, "truck": 1}}))]
    doubtful.append(changed(rest[-1], measures=json.dumps({"doubtful": {"car": 3}})))
    store(database, [one, *doubtful, *rest[:-1]])
    roll(database)
    for step, sums in (("quarter", [2, 0, 3]), ("hour", None), ("day", None)):
        span = {"from": at(START - DAY), "to": at(START + DAY), "step": step}
        steps = client.get(f"/api/v1/sites/{site}/counts", params=span).json()["steps"]
        assert sum(one["doubtful"] for one in steps) == 5
        assert sums is None or [one["doubtful"] for one in steps][: len(sums)] in (sums, [2, 3], [2, 0, 3])


def test_pictures_are_answered_and_the_accuracy_is_weighted(database: Database, client: httpx.Client) -> None:
    keep(database, review(1), review(2), review(3, doubtful=False, stands_for=12))
    keep(database, review(1, label="truck"))  # the same id again changes nothing
    told = client.get("/api/v1/reviews").json()
    assert (told["waiting"], len(told["reviews"])) == (3, 3)
    assert all(one["box"] == [52, 40, 180, 128] and "label" not in one for one in told["reviews"])
    one, two, three = (UUID(int=n) for n in (1, 2, 3))
    shown = client.get(f"/api/v1/reviews/{one}.jpg")
    assert (shown.content, shown.headers["content-type"]) == (picture(), "image/jpeg")
    (device,) = client.get("/api/v1/accuracy").json()["devices"]
    assert device == {
        "device": "harbour/pole-7", "waiting": 3, "answered": 0, "share": None, "low": None, "high": None,
    }  # fmt: skip
    assert client.put(f"/api/v1/reviews/{one}", json={"answer": "car"}).json() == {"counted": "car", "right": True}
    assert client.put(f"/api/v1/reviews/{two}", json={"answer": "none"}).json()["right"] is False
    assert client.put(f"/api/v1/reviews/{three}", json={"answer": "unclear"}).json()["right"] is None
    assert (
        client.put(f"/api/v1/reviews/{three}", json={"answer": "car"}).json()["right"] is True
    )  # thought better of it
    with database.connect() as connection:
        (change,) = read_audit(connection)
    assert (change.action, change.subject, change.change) == (
        "review.answer",
        str(three),
        {"answer": ["unclear", "car"]},
    )
    (device,) = client.get("/api/v1/accuracy").json()["devices"]
    assert (device["waiting"], device["answered"]) == (0, 3)
    assert device["share"] == pytest.approx((6 * 0.5 + 12) / 18, abs=1e-4)
    assert device["low"] < device["share"] < device["high"]
    assert client.put(f"/api/v1/reviews/{one}", json={"answer": "tram"}).status_code == 422
    gone = client.put(f"/api/v1/reviews/{UUID(int=9)}", json={"answer": "car"})
    assert (gone.status_code, gone.json()["code"]) == (404, "no_picture")
    assert client.get("/api/v1/reviews", params={"device": "harbour/pole-8"}).json()["reviews"] == []
    refused = client.put(f"/api/v1/reviews/{one}.jpg", json={"answer": "car"})
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")


def test_pictures_go_after_their_time_and_answers_later(database: Database, client: httpx.Client) -> None:
    keep(database, review(1), arrived=START - 40 * DAY)
    keep(database, review(2), arrived=START - 500 * DAY)
    client.put(f"/api/v1/reviews/{UUID(int=1)}", json={"answer": "car"})
    with database.begin() as connection:
        forget_reviews(connection, START, 30 * DAY)
        assert connection.execute(select(func.count()).select_from(REVIEW)).scalar_one() == 1
        assert list(answered_pictures(connection)) == []
    assert client.get(f"/api/v1/reviews/{UUID(int=1)}.jpg").status_code == 404
    assert client.get("/api/v1/accuracy").json()["devices"][0]["answered"] == 1


def test_answers_become_labels_that_the_training_takes(
    database: Database, client: httpx.Client, tmp_path: Path
) -> None:
    keep(database, review(1, label="truck"), review(2), review(3))
    for number, answer in ((1, "car"), (2, "none"), (3, "unclear")):
        client.put(f"/api/v1/reviews/{UUID(int=number)}", json={"answer": answer})
    with database.connect() as connection:
        assert write_labels(answered_pictures(connection), tmp_path) == {"car": 1}
    (annotation,) = tmp_path.rglob("*.xml")
    root = ElementTree.parse(annotation).getroot()
    assert root.get("verified") == "yes"
    (named,) = root.iterfind("object")
    assert named.findtext("name") == "car"
    image = cv2.imread(str(annotation.parent.parent / "JPEGImages" / f"{annotation.stem}.jpg"))
    x0, y0, x1, y1 = (round(float(named.findtext(f"bndbox/{side}") or 0)) for side in ("xmin", "ymin", "xmax", "ymax"))
    assert image is not None
    assert image[y0 + 4 : y1 - 4, x0 + 4 : x1 - 4].reshape(-1, 3).mean(axis=0)[2] > 230
    assert image.shape[1] < 180  # little but the vehicle is in it: nothing else in the picture has a label


def test_figures_are_kept_once_told_as_columns_and_forgotten(database: Database, client: httpx.Client) -> None:
    figures = Figures.model_validate(EXAMPLES["health"]["figures"])
    device, begin = (NAME.site, NAME.device), int(figures.start.timestamp())
    later = figures.model_copy(update={"start": datetime.fromtimestamp(begin + 900, timezone.utc), "input": None})
    with database.begin() as connection:
        for one in (figures, figures, later):
            note_figures(connection, {device: one})
    span = {"from": at(begin), "to": at(begin + 1800)}
    told = client.get("/api/v1/devices/harbour/pole-7/figures", params=span).json()
    assert told["start"] == [begin, begin + 900]
    assert told["columns"]["software.stages_ms.detect.p95"] == [19.8, 19.8]
    assert told["columns"]["input.noise"] == [1.2, None]
    assert client.get("/api/v1/devices/harbour/pole-8/figures", params=span).json()["columns"] == {}
    with database.begin() as connection:
        forget_figures(connection, begin + KEPT_S + 1)
        assert [start for start, _ in read_figures(connection, device, 0, 2**40)] == [begin + 900]


def test_columns_have_a_place_for_each_quarter() -> None:
    assert columns_of([(0, {"a": {"b": 1}}), (900, {"a": {"c": 2.5, "d": True}})]) == {
        "a.b": [1, None],
        "a.c": [None, 2.5],
    }
