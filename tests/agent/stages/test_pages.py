"""The pages say what there is: every key, every test, every shipped rule."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from agent.config import shipped_rules
from agent.stages.rules import Condition, Rule

DOCS = Path(__file__).parents[3] / "docs"


def quoted(page: str) -> set[str]:
    """Words that a page sets as code."""
    return {
        word
        for code in re.findall(r"`([^`]+)`", (DOCS / page).read_text().replace("```", ""))
        for word in re.findall(r"\w+", code)
    }


def test_the_page_of_rules_has_every_key() -> None:
    keys = {field.name.rstrip("_") for kind in (Rule, Condition) for field in dataclasses.fields(kind)}
    assert keys - quoted("rules.md") == set()


def test_the_page_of_rules_has_every_shipped_rule_and_no_other() -> None:
    names = {rule.rule for rule in shipped_rules()}
    assert names - quoted("rules.md") == set()
    table = (DOCS / "rules.md").read_text().partition("## The shipped set")[2].partition("## How well")[0]
    told = {word for word in re.findall(r"`(\w+)`", table) if re.fullmatch(r"[a-z]+[A-Za-z]*", word)}
    assert told - names <= {"overInsured", "insured_limit"}


def test_every_shipped_rule_says_one_sentence() -> None:
    for rule in shipped_rules():
        assert re.fullmatch(r"[A-Z][^\n]*\.", rule.text), rule.rule
