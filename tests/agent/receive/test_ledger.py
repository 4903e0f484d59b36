"""Intervals against sets, and the ledger against a plain model of what was sent, lost, doubled and shuffled."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.receive.intervals import Intervals
from agent.receive.ledger import REMEMBERED, Entry, Ledger
from agent.records import Loss
from tests.agent.envelopes import EPOCH, GATEWAY, alarm, envelope, loss, summary

spans = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)))


def filled(ranges: list[tuple[int, int]]) -> tuple[Intervals, set[int]]:
    intervals, model = Intervals(), set()
    for first, more in ranges:
        intervals.add(first, first + more)
        model |= set(range(first, first + more + 1))
    return intervals, model


@given(spans)
def test_intervals_are_a_set(ranges: list[tuple[int, int]]) -> None:
    intervals, model = filled(ranges)
    assert [number in intervals for number in range(100)] == [number in model for number in range(100)]
    assert len(intervals) == len(model)
    assert intervals.highest == max(model, default=0)
    holes = {number for first, last in intervals.holes() for number in range(first, last + 1)}
    assert holes == set(range(1, intervals.highest)) - model


@given(spans)
def test_intervals_never_touch(ranges: list[tuple[int, int]]) -> None:
    kept = list(filled(ranges)[0])
    assert all(first <= last for first, last in kept)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(kept))


@given(spans, spans)
def test_union(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    assert list(filled(one)[0].union(filled(other)[0])) == list(filled(one + other)[0])


@given(
    st.lists(st.integers(1, 40)),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), max_size=4),
)
def test_the_account_is_the_truth(arrivals: list[int], lost: list[tuple[int, int]]) -> None:
    ledger = Ledger()
    for position in arrivals:
        ledger.enter(summary(position), 0.0)
    for position, (first, more) in enumerate(lost, 1):
        ledger.enter(loss(position, "summaries", first, first + more), 0.0)
    received = set(arrivals)
    explained = {number for first, more in lost for number in range(first, first + more + 1)}
    account = ledger.account()
    assert account.received == len(received) + len(lost)
    assert account.duplicates == len(arrivals) - len(received)
    assert account.lost == len(explained - received)
    highest = max(received | explained, default=0)
    assert account.missing == len(set(range(1, highest + 1)) - received - explained)


def test_a_gap_is_told_when_something_comes_from_beyond_it() -> None:
    ledger = Ledger()
    assert ledger.enter(alarm(1), 0.0) == Entry(fresh=True)
    assert ledger.enter(alarm(5), 0.0) == Entry(fresh=True, gap=(2, 4))
    assert ledger.enter(alarm(3), 0.0) == Entry(fresh=True)
    assert ledger.enter(alarm(3), 0.0) == Entry(fresh=False)
    (stream,) = ledger.account().streams
    assert stream.holes == ((2, 2), (4, 4))
    assert (stream.gateway, stream.epoch, stream.lane, stream.highest) == (GATEWAY, EPOCH, "alarms", 5)


def test_streams_are_apart() -> None:
    ledger = Ledger()
    ledger.enter(alarm(1), 0.0)
    ledger.enter(alarm(1, epoch="second life"), 0.0)
    ledger.enter(summary(1), 0.0)
    account = ledger.account()
    assert (account.received, account.duplicates, len(account.streams)) == (3, 0, 3)


def test_a_loss_of_no_records_explains_positions_under_which_none_will_come() -> None:
    ledger = Ledger()
    ledger.enter(summary(4), 0.0)
    ledger.enter(envelope("alarms", 1, Loss("summaries", 1, 3, 0, "newEpoch")), 0.0)
    assert (ledger.account().lost, ledger.account().missing) == (0, 0)
    ledger.enter(loss(2, "summaries", 3, 6), 0.0)
    assert (ledger.account().lost, ledger.account().missing) == (2, 0)


def test_a_loss_that_makes_no_sense_explains_nothing() -> None:
    ledger = Ledger()
    for position, (first, last) in enumerate([(5, 1), (0, 9), (-3, 9)], 1):
        ledger.enter(loss(position, "summaries", first, last), 0.0)
    assert ledger.account().lost == 0


def test_alarms_are_told_the_newest_of_them() -> None:
    ledger = Ledger()
    for position in range(1, REMEMBERED + 3):
        ledger.enter(alarm(position), 7.0)
    alarms = ledger.account().alarms
    assert len(alarms) == REMEMBERED
    assert (alarms[0].position, alarms[-1].received_at, alarms[-1].attack) == (3, 7.0, "BLACK_BOX")
