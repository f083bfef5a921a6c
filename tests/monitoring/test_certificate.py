"""End of a certificate, read from files that openssl makes."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from edge_app.errors import ConfigError
from edge_app.monitoring.certificate import ends_at, expiry_warning, first_end
from tests.support.brokers import Authority, needs_openssl

DAY_S = 86_400.0


def openssl_end(file: Path) -> str:
    command = ("openssl", "x509", "-in", str(file), "-noout", "-enddate")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.partition("=")[2].strip()


@needs_openssl
@pytest.mark.parametrize("days", [-1, 2, 400, 20_000])
def test_the_end_is_the_one_that_openssl_reads(tmp_path: Path, days: int) -> None:
    """20,000 days reach beyond 2050, where certificates write the date in another form."""
    certificate, _ = Authority(tmp_path).sign("cam", days=days)
    end = time.strftime("%b %e %H:%M:%S %Y GMT", time.gmtime(ends_at(certificate)))
    assert end == openssl_end(certificate)


@needs_openssl
def test_the_warning_comes_thirty_days_before_the_end(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, _ = authority.sign("cam", days=100)
    end = ends_at(certificate)
    assert expiry_warning([certificate], end - 31 * DAY_S) == ""
    assert "in 29 days; install a new one" in expiry_warning([certificate], end - 29.5 * DAY_S)
    assert "ended on " in expiry_warning([certificate], end + 1)
    assert str(authority.ca) in expiry_warning([authority.ca, certificate], end - 60 * DAY_S)
    over, _ = authority.sign("over", days=-1)
    assert str(over) in expiry_warning([authority.ca, over], time.time()), "one that has ended goes before all others"


@needs_openssl
def test_the_first_end_is_that_of_what_can_be_read(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    long, _ = authority.sign("long", days=400)
    short, key = authority.sign("short", days=200)
    assert first_end([long, short, key, tmp_path / "absent.pem"]) == ends_at(short)
    assert first_end([key]) is first_end([]) is None


@needs_openssl
def test_a_file_without_a_certificate_is_named(tmp_path: Path) -> None:
    _, key = Authority(tmp_path).sign("cam")
    damaged = tmp_path / "damaged.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    for file, problem in (
        (key, "holds no certificate"),
        (damaged, "is damaged"),
        (tmp_path / "absent.pem", "No such file"),
    ):
        with pytest.raises(ConfigError, match=problem):
            ends_at(file)
        assert problem in expiry_warning([file], 0.0)
