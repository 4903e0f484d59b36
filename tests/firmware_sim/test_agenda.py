"""The queue of what will happen: order, scripts, and steps of any length."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.agenda import Agenda, Script


@given(st.lists(st.integers(0, 5_000), max_size=20), st.lists(st.integers(0, 2_000), min_size=1, max_size=20))
def test_the_order_does_not_depend_on_the_steps(due_ms: list[int], steps_ms: list[int]) -> None:
    def run(steps: list[int]) -> list[tuple[float, int]]:
        agenda, seen = Agenda(1000.0), []
        for number, at in enumerate(due_ms):
            agenda.put(1000.0 + at / 1000, lambda number=number: seen.append((agenda.now, number)))
        for step in steps:
            agenda.run_to(agenda.now + step / 1000)
        return seen

    at_once, in_steps = run([sum(steps_ms)]), run(steps_ms)
    assert at_once == in_steps
    assert in_steps == sorted(in_steps)  # by time, then in the order of putting down


def test_what_an_act_puts_down_for_now_still_happens() -> None:
    agenda, seen = Agenda(0.0), []
    agenda.put(1.0, lambda: agenda.put(0.5, lambda: seen.append(agenda.now)))
    agenda.run_to(1.0)
    assert seen == [1.0]
    assert agenda.next_at == inf


def test_a_script_acts_at_its_pauses() -> None:
    agenda, seen = Agenda(100.0), []

    def script() -> Script:
        seen.append(agenda.now)
        yield 1.5
        seen.append(agenda.now)
        yield 0.0  # never quite nothing: a script cannot stop the world
        seen.append(agenda.now)

    agenda.play(script(), at=101.0)
    agenda.run_to(200.0)
    assert seen == [101.0, 102.5, 102.501]


def test_there_is_no_way_back() -> None:
    agenda = Agenda(5.0)
    with pytest.raises(ValueError, match=r"is at 5\.000 and cannot go back to 4\.000"):
        agenda.run_to(4.0)
