"""The pages name tests that exist, and link to files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
NAMES = re.compile(r"(tests/[\w/]+\.py): ([\w…]+(?:, [\w…]+)*)")


def named(page: Path) -> list[tuple[str, str]]:
    """The tests that a page names: file, and the name without `test_`; one that goes on ends in …"""
    return [(file, name) for file, names in NAMES.findall(page.read_text()) for name in names.split(", ")]


@pytest.mark.parametrize("page", [page for page in PAGES if named(page)], ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    missing = []
    for file, name in named(page):
        source = (ROOT / file).read_text()
        begins = re.escape(name.removesuffix("…")) + ("" if name.endswith("…") else r"\b")
        if not re.search(rf"^(?:async )?def test_{begins}|^{begins} =", source, re.MULTILINE):
            missing.append(f"{file}: {name}")
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    links = {link.partition("#")[0] for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page.read_text())}
    assert [link for link in sorted(links) if link and not (page.parent / link).exists()] == []
