from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from agent.quiet import Quiet


def record(at: float, message: str = "source %s: %s", *args: object, level: int = logging.WARNING) -> logging.LogRecord:
    made = logging.LogRecord("agent.sources", level, __file__, 1, message, args or ("board", "missing"), None)
    made.created = at
    return made


def test_a_line_that_repeats_is_written_once_a_minute_with_the_count():
    quiet = Quiet()
    written = [made.getMessage() for second in range(125) if quiet.filter(made := record(1000.0 + second))]
    assert written == [
        "source board: missing",
        "source board: missing (and 59 times more since the last)",
        "source board: missing (and 59 times more since the last)",
    ]
    assert quiet.held == 122


def test_other_things_are_other_lines():
    quiet = Quiet()
    assert quiet.filter(record(0.0))
    assert quiet.filter(record(0.0, "source %s: %s", "ups", "missing"))
    assert quiet.filter(record(0.0, "source %s: %s", "board", "ok"))
    assert not quiet.filter(record(0.0))


def test_errors_are_folded_like_everything_else():
    quiet = Quiet()
    assert sum(quiet.filter(record(float(second), level=logging.ERROR)) for second in range(120)) == 2


def test_lines_that_all_differ_have_a_rate():
    quiet = Quiet(burst=10, rate=1.0)
    written = sum(quiet.filter(record(1000.0 + number / 100, "%d", number)) for number in range(1000))
    assert 10 <= written <= 21
    assert written + quiet.held == 1000


def test_a_clock_that_is_set_back_does_not_silence_for_ever():
    quiet = Quiet()
    assert quiet.filter(record(1_000_000.0))
    assert quiet.filter(record(5.0))


def test_a_percent_sign_in_what_is_said_is_no_format():
    quiet = Quiet(interval=1.0)
    for at in (0.0, 0.5, 2.0):
        made = record(at, "%s", "100 %s of it")
        quiet.filter(made)
    assert made.getMessage() == "100 %s of it (and 1 times more since the last)"


@given(st.lists(st.integers(0, 300), max_size=600))
def test_memory_is_bounded_and_every_line_is_written_or_counted(messages):
    quiet = Quiet(kinds=8, burst=1000)
    written = sum(quiet.filter(record(0.0, "%d", number)) for number in messages)
    assert written + quiet.held == len(messages)
    assert len(quiet._last) <= 8


def test_it_works_on_a_handler(caplog):
    quiet = Quiet()
    caplog.handler.addFilter(quiet)
    try:
        log = logging.getLogger("agent.sources.test")
        for _ in range(5):
            log.warning("source %s: %s", "board", "busy")
    finally:
        caplog.handler.removeFilter(quiet)
    assert len(caplog.records) == 1
