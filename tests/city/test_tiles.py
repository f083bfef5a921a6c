"""The city's own map: which files are taken, how they are served, and that nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from edge_app import cli
from edge_app.city.api import build_api
from edge_app.city.database.engine import open_database
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.city.tiles import Credit, read_tiles
from edge_app.errors import ConfigError
from tests.support.city_api import client_of
from tests.support.ports import free_port
from tests.support.tiles import picture_file, vector_file

AROUND = (52.37, 4.9)
ADDRESS = "/tiles/city.pmtiles"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return vector_file(tmp_path / "city.pmtiles", AROUND)


@pytest.fixture
def client(file: Path, tmp_path: Path, empty_file: Path) -> Iterator[httpx.Client]:
    (tmp_path / "city.sqlite3").write_bytes(empty_file.read_bytes())
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    with client_of(build_api(City(database, Live(), tiles=read_tiles(file)))) as made:
        yield made
    database.close()


def test_the_head_says_what_is_in_a_file(file: Path, tmp_path: Path) -> None:
    tiles = read_tiles(file)
    assert (tiles.kind, tiles.min_zoom, tiles.max_zoom) == ("vector", 9, 13)
    assert tiles.bounds == (-180.0, -85.0, 180.0, 85.0)
    assert tiles.credits == (Credit("© The City & others", "https://example.org/map"),)
    assert read_tiles(picture_file(tmp_path / "pictures.pmtiles", AROUND)).kind == "png"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda whole: whole[:0], "is no PMTiles file of version 3"),
        (lambda whole: whole[::-1], "is no PMTiles file of version 3"),
        (lambda whole: whole[:7] + b"\x02" + whole[8:], "is no PMTiles file of version 3"),
        (lambda whole: whole[:126], "is no PMTiles file of version 3"),
        (lambda whole: whole[:-1], "is cut short: it has"),
        (lambda whole: whole[:99] + b"\x06" + whole[100:], "has tiles that no browser shows"),
        (lambda whole: whole[:98] + b"\x03" + whole[99:], "has tiles that no browser shows"),
        (lambda whole: whole[:97] + b"\x01" + whole[98:], "has metadata that are no JSON"),
    ],
    ids=["empty", "other", "version-2", "short-head", "cut", "unknown-kind", "brotli", "metadata"],
)
def test_a_file_that_cannot_be_shown_is_refused(file: Path, change: object, words: str) -> None:
    assert callable(change)
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(ConfigError, match=words) as refused:
        read_tiles(file)
    assert str(refused.value).startswith(f"page.tiles: {file} ")


def test_the_city_does_not_start_with_tiles_that_cannot_be_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "city.toml"
    config.write_text(f'[mqtt]\nport = {free_port()}\n[page]\nport = 0\ntiles = "no.pmtiles"\n')
    assert cli.main(["city", "serve", "--config", str(config)]) == 2
    told = capsys.readouterr().err
    assert f"page.tiles: {tmp_path / 'no.pmtiles'} cannot be read (No such file or directory)" in told
    assert "Traceback" not in told
    assert not (tmp_path / "city.sqlite3").exists()
    assert cli.main(["city", "check", "--config", str(config)]) == 1
    assert "FAIL tiles: " in " ".join(capsys.readouterr().out.split())
    vector_file(tmp_path / "no.pmtiles", AROUND)
    cli.main(["city", "check", "--config", str(config)])
    assert "has vector tiles of zooms 9 to 13." in " ".join(capsys.readouterr().out.split())


def test_parts_of_the_file_are_answered(client: httpx.Client, file: Path) -> None:
    whole = file.read_bytes()
    answer = client.get(ADDRESS)
    assert (answer.status_code, answer.content) == (200, whole)
    assert answer.headers["accept-ranges"] == "bytes"
    assert "content-encoding" not in answer.headers
    tag = answer.headers["etag"]
    part = client.get(ADDRESS, headers={"range": "bytes=0-126"})
    assert (part.status_code, part.content) == (206, whole[:127])
    assert part.headers["content-range"] == f"bytes 0-126/{len(whole)}"
    assert part.headers["etag"] == tag
    assert "default-src 'self'" in part.headers["content-security-policy"]
    assert client.get(ADDRESS, headers={"range": "bytes=-5"}).content == whole[-5:]
    assert client.get(ADDRESS, headers={"range": "bytes=0-1", "if-range": '"another"'}).content == whole
    assert client.get(ADDRESS, headers={"range": f"bytes={len(whole)}-"}).status_code == 416
    again = client.get(ADDRESS, headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_another_file_has_another_tag_and_one_that_is_gone_is_told(client: httpx.Client, file: Path) -> None:
    before = client.get(ADDRESS).headers["etag"]
    picture_file(file, AROUND)
    assert client.get(ADDRESS).headers["etag"] != before
    file.unlink()
    gone = client.get(ADDRESS)
    assert gone.status_code == 404
    assert gone.json()["detail"] == "there are no tiles; city.toml names them in page.tiles"


@pytest.mark.parametrize(
    "path", ["/tiles/", "/tiles/city.sqlite3", "/tiles/../city.sqlite3", "/tiles/%2e%2e/city.toml", "/tiles/x.pmtiles"]
)
def test_no_other_file_is_reached(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_page_is_told_of_the_tiles(client: httpx.Client) -> None:
    assert client.get("/api/v1/map").json() == {
        "tiles": {
            "address": ADDRESS,
            "kind": "vector",
            "min_zoom": 9,
            "max_zoom": 13,
            "bounds": [-180.0, -85.0, 180.0, 85.0],
            "credits": [{"text": "© The City & others", "href": "https://example.org/map"}],
        }
    }


def test_without_tiles_there_are_none(tmp_path: Path, empty_file: Path) -> None:
    (tmp_path / "city.sqlite3").write_bytes(empty_file.read_bytes())
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    with client_of(build_api(City(database, Live()))) as client:
        assert client.get("/api/v1/map").json() == {"tiles": None}
        assert client.get(ADDRESS).status_code == 404
    database.close()
