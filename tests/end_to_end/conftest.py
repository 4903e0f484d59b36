from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A directory for one gateway; its processes end with the test."""
    site = Site(tmp_path)
    yield site
    site.close()
