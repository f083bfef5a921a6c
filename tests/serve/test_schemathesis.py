"""The service keeps to its own OpenAPI document: a short run of `tests.trials.serve.document`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.serving import serving

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(find_spec("schemathesis") is None, reason="needs schemathesis (pip install 'edge-app[test]')"),
]


def test_no_check_of_schemathesis_fails(tmp_path: Path) -> None:
    from tests.trials.serve.document import schemathesis

    with serving(folder=tmp_path) as service:
        done = schemathesis(service.url, 2, 1, "--phases", "examples,coverage,fuzzing")
    assert done.returncode == 0, "\n".join(line[:300] for line in done.stdout.splitlines())
