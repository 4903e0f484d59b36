"""Windows, by hand and by properties: aligned, half-open, complete, and the same whatever they are cut into."""

from __future__ import annotations

from math import sqrt
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.records import PointSummary, Reading, Summary
from agent.stages import Documents
from agent.stages.tracks import joined
from agent.stages.windows import Windows

TEMPERATURE = "environment.temperature_c"
PRESENTS = "cashDispenser.presents"
DOOR = "auxiliaries.cabinetDoor"


def fed(windows: Windows, *items: tuple[str, Any, float], until: float) -> list[Summary]:
    """Summaries that close while these values come, each at its time, up to `until`."""
    closed = []
    for point, value, at in items:
        closed += windows.advance(at)
        windows.feed(Reading("m", point, value, at))
    return closed + windows.advance(until)


def test_a_number() -> None:
    values = [(TEMPERATURE, 20.0, 60.0), (TEMPERATURE, 23.0, 61.0), (TEMPERATURE, None, 62.0), (TEMPERATURE, 26.0, 119.9)]
    (summary,) = fed(Windows("m", 60.0), *values, until=120.0)
    assert (summary.start, summary.end, summary.observed) == (60.0, 120.0, 1.0)
    assert summary.points[TEMPERATURE] == PointSummary(
        n=3, bad=1, min=20.0, mean=23.0, max=26.0, last=26.0, deviation=pytest.approx(sqrt(6.0))
    )


def test_a_small_spread_on_a_large_value_keeps_its_digits() -> None:
    values = [(TEMPERATURE, 1e9 + offset, 60.0 + at) for at, offset in enumerate((0.0, 1.0, 2.0))]
    (summary,) = fed(Windows("m", 60.0), *values, until=120.0)
    assert summary.points[TEMPERATURE].deviation == pytest.approx(sqrt(2 / 3), rel=1e-9)


def test_a_counter_counts_over_windows_resets_and_wraps() -> None:
    values = [
        (PRESENTS, 100, 0.0), (PRESENTS, 104, 59.0),
        (PRESENTS, 105, 61.0), (PRESENTS, 3, 90.0),
        (PRESENTS, None, 130.0), (PRESENTS, 8, 150.0),
    ]  # fmt: skip
    summaries = fed(Windows("m", 60.0), *values, until=240.0)
    assert [summary.points[PRESENTS].delta for summary in summaries] == [4, 1 + 3, 5, 0]
    assert [summary.points[PRESENTS].last for summary in summaries] == [104, 3, 8, 8]
    assert [summary.points[PRESENTS].n for summary in summaries] == [2, 2, 1, 0]
    (wrapped,) = fed(Windows("m", 60.0), (PRESENTS, 65_535, 0.0), (PRESENTS, 2, 1.0), until=60.0)
    assert wrapped.points[PRESENTS].delta == 3


def test_a_word_is_known_for_every_second() -> None:
    values = [(DOOR, "closed", 0.0), (DOOR, "open", 45.0), (DOOR, "closed", 70.0), (DOOR, None, 100.0), (DOOR, "open", 110.0)]
    first, second = fed(Windows("m", 60.0), *values, until=120.0)
    assert first.points[DOOR] == PointSummary(n=2, last="open", states={"closed": 45.0, "open": 15.0}, changes=1)
    assert second.points[DOOR] == PointSummary(n=2, bad=1, last="open", states={"open": 10.0 + 10.0, "closed": 30.0}, changes=1)


def test_a_window_ends_before_what_happens_at_its_end() -> None:
    first, second = fed(Windows("m", 60.0), (DOOR, "closed", 0.0), (DOOR, "open", 60.0), until=120.0)
    assert first.points[DOOR].states == {"closed": 60.0}
    assert second.points[DOOR].states == {"open": 60.0}


def test_silence_is_a_measurement() -> None:
    summaries = fed(Windows("m", 60.0), (DOOR, "closed", 30.0), until=240.0)
    assert [(summary.end, summary.observed) for summary in summaries] == [(60.0, 0.5), (120.0, 1.0), (180.0, 1.0), (240.0, 1.0)]
    assert summaries[-1].points[DOOR] == PointSummary(last="closed", states={"closed": 60.0})
    (empty,) = fed(Windows("m", 60.0), until=0.0) or fed_nothing()
    assert empty.points == {}


def fed_nothing() -> list[Summary]:
    windows = Windows("m", 60.0)
    windows.advance(0.0)
    return windows.advance(60.0)


def test_late_readings_are_counted_and_a_late_word_that_is_news_holds_from_the_start() -> None:
    windows = Windows("m", 60.0)
    fed(windows, (DOOR, "closed", 0.0), (TEMPERATURE, 20.0, 0.0), until=61.0)
    windows.feed(Reading("m", DOOR, "open", 59.5))
    windows.feed(Reading("m", TEMPERATURE, 99.0, 59.5))
    (summary,) = windows.advance(120.0)
    assert summary.points[DOOR] == PointSummary(late=1, last="open", states={"open": 60.0}, changes=1)
    assert summary.points[TEMPERATURE] == PointSummary(late=1)


def test_an_older_reading_of_the_same_window_cannot_undo_a_newer_one() -> None:
    windows = Windows("m", 60.0)
    fed(windows, (DOOR, "closed", 10.0), (PRESENTS, 50, 10.0), (TEMPERATURE, 20.0, 10.0), until=20.0)
    for point, value in ((DOOR, "open"), (PRESENTS, 49), (TEMPERATURE, 5.0)):
        windows.feed(Reading("m", point, value, 9.0))
    (summary,) = windows.advance(60.0)
    assert summary.points[DOOR].last == "closed"
    assert summary.points[PRESENTS] == PointSummary(n=2, last=50, delta=0)
    assert summary.points[TEMPERATURE].last == 20.0
    assert summary.points[TEMPERATURE].min == 5.0


def test_a_pause_belongs_to_nobody() -> None:
    windows = Windows("m", 60.0)
    fed(windows, (DOOR, "open", 0.0), until=30.0)
    (cut,) = windows.begin(1_000.0)
    assert (cut.end, cut.observed, cut.points[DOOR].states) == (60.0, 0.5, {"open": 30.0})
    (first,) = windows.advance(1_020.0)
    assert (first.start, first.observed, first.points[DOOR].states) == (960.0, pytest.approx(1 / 3, abs=1e-4), {"open": 20.0})


def test_a_clock_that_was_set_back_ends_the_window_and_loses_nothing_after_it() -> None:
    windows = Windows("m", 60.0)
    fed(windows, (DOOR, "closed", 7_200.0), (PRESENTS, 10, 7_200.0), until=7_230.0)
    (cut,) = windows.shift(-3_600.0)
    assert (cut.end, cut.observed) == (7_260.0, 0.5)
    windows.feed(Reading("m", DOOR, "open", 3_640.0))
    windows.feed(Reading("m", PRESENTS, 12, 3_640.0))
    (summary,) = windows.advance(3_660.0)
    assert (summary.start, summary.end, summary.observed) == (3_600.0, 3_660.0, 0.5)
    assert summary.points[DOOR].states == {"closed": 10.0, "open": 20.0}
    assert summary.points[PRESENTS].delta == 2


# Properties -----------------------------------------------------------------------------------------------------------------
# times are multiples of 1/8 s and values of 1/4, so that sums are exact

_TIMES = st.integers(0, 8 * 7_200).map(lambda eighths: eighths / 8)
_ITEM = st.one_of(
    st.tuples(st.just(TEMPERATURE), st.one_of(st.none(), st.integers(-200, 400).map(lambda quarters: quarters / 4)), _TIMES),
    st.tuples(st.just(PRESENTS), st.one_of(st.none(), st.integers(0, 500)), _TIMES),
    st.tuples(st.just(DOOR), st.sampled_from([None, "closed", "open", "locked"]), _TIMES),
)
_STREAM = st.lists(_ITEM, max_size=60).map(lambda items: sorted(items, key=lambda item: item[2]))


def total(summaries: list[Summary]) -> dict[str, PointSummary]:
    """What the windows say together."""
    points: dict[str, PointSummary] = {}
    for summary in summaries:
        for name, point in summary.points.items():
            points[name] = joined(points[name], point) if name in points else point
    return points


def alike(some: list[Summary], others: list[Summary]) -> None:
    """Together they say the same; a window rounds its mean, so two windows may differ from one in the last digits."""
    parts, whole = total(some), total(others)
    assert parts.keys() == whole.keys()
    for name, part in parts.items():
        one = whole[name]
        for field in ("n", "bad", "late", "min", "max", "last", "delta", "states", "changes"):
            assert getattr(part, field) == getattr(one, field), (name, field)
        assert part.mean == pytest.approx(one.mean, abs=1e-6)
        assert part.deviation == pytest.approx(one.deviation, abs=1e-4)


@given(_STREAM, st.sampled_from([60.0, 300.0, 900.0, 3_600.0]))
def test_the_sum_of_windows_is_the_window_of_the_sum(stream: list[tuple[str, Any, float]], length: float) -> None:
    small, large = Windows("m", length), Windows("m", 7_200.0)
    small.advance(0.0)
    large.advance(0.0)
    alike(fed(small, *stream, until=7_200.0), fed(large, *stream, until=7_200.0))


@given(_STREAM, st.lists(_TIMES, max_size=20))
def test_how_often_somebody_looks_changes_nothing(stream: list[tuple[str, Any, float]], looks: list[float]) -> None:
    plain, watched = Windows("m", 60.0), Windows("m", 60.0)
    plain.advance(0.0)
    watched.advance(0.0)
    once = fed(plain, *stream, until=7_200.0)
    often: list[Summary] = []
    pending = sorted(looks)
    for item in stream:
        while pending and pending[0] <= item[2]:
            often += watched.advance(pending.pop(0))
        often += fed(watched, item, until=item[2])
    for look in pending:
        often += watched.advance(look)
    often += watched.advance(7_200.0)
    assert msgspec.to_builtins(often) == msgspec.to_builtins(once)


def saved(windows: Windows) -> dict[str, Any]:
    """The notes, as they come back from a disk."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(windows.changed()))
    return found


@given(_STREAM, _TIMES, st.integers(0, 8 * 300).map(lambda eighths: eighths / 8))
@example([(TEMPERATURE, 0.0, 0.0), (TEMPERATURE, 0.25, 0.0), (TEMPERATURE, 0.0, 0.25)], 0.0, 0.125)
def test_a_restart_loses_what_nobody_observed_and_nothing_else(
    stream: list[tuple[str, Any, float]], stop: float, gap: float
) -> None:
    """What is fed before the stop and after the gap is in the windows; no time of the gap is spent in any word."""
    before = [item for item in stream if item[2] <= stop]
    after = [item for item in stream if item[2] > stop + gap]
    first = Windows("m", 60.0)
    first.advance(0.0)
    summaries = fed(first, *before, until=stop)
    second = Windows("m", 60.0)
    summaries += second.restore(saved(first), stop + gap)
    summaries += fed(second, *after, until=7_800.0)

    steady = Windows("m", 60.0)
    steady.advance(0.0)
    without = fed(steady, *before, until=stop)
    if gap:
        without += steady.begin(stop + gap)
    without += fed(steady, *after, until=7_800.0)
    ends = [summary.end for summary in summaries]
    if gap and ends.count(stop - stop % 60 + 60) < [each.end for each in without].count(stop - stop % 60 + 60):
        alike(summaries, without)  # a short gap does not cut the window in two
    else:
        assert summaries == without


def test_documents_are_only_of_what_has_changed() -> None:
    windows = Windows("m", 60.0)
    fed(windows, (DOOR, "open", 1.0), (TEMPERATURE, 20.0, 1.0), until=2.0)
    assert set(windows.changed([DOOR])) == {"", DOOR}
    assert set(windows.changed()) == {"", TEMPERATURE}
    assert set(windows.changed()) == {""}


@pytest.mark.parametrize(
    "documents",
    [
        {},
        {"": {}},
        {"": {"start": 60.0, "now": 1e9, "observed": 0.0}},
        {"": {"start": "x", "now": 1.0, "observed": 0.0}},
        {DOOR: {"track": "word"}},
        {"": {"start": 0.0, "now": 1.0, "observed": 1.0}, DOOR: {"track": "phrase"}, TEMPERATURE: {"n": "many"}},
    ],
)
def test_notes_that_cannot_be_read_stop_nobody(documents: Documents) -> None:
    windows = Windows("m", 60.0)
    windows.restore(documents, 30.0)  # type: ignore[arg-type]
    (summary,) = fed(windows, (DOOR, "open", 30.0), until=60.0)
    assert summary.points[DOOR].states == {"open": 30.0}
