from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Reading
from agent.sources.contacts import Contact, Contacts, Debounce

SAFE = Contact(pin=17, point="auxiliaries.safeDoor")
SEISMIC = Contact(pin=27, point="auxiliaries.seismicSensor", closed="off", open="on", debounce=1.0, count_edges=False)


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"pin": -1}, r"^pin: -1 .*0 to 27"),
        ({"pin": 64}, r"^pin: 64 "),
        ({"point": "auxiliaries.safedoor"}, r"^point: .*did you mean auxiliaries.safeDoor\?"),
        ({"point": "zzz"}, r"^point: no point is called 'zzz'; a contact of your own is auxiliaries.contact.NAME"),
        ({"closed": "shut"}, r"^closed: auxiliaries.safeDoor does not know the word 'shut'; it is closed, open, locked"),
        ({"open": "on"}, r"^open: auxiliaries.safeDoor does not know the word 'on'"),
        ({"open": "closed"}, r"^open: must differ"),
        ({"point": "environment.temperature_c"}, r"^closed: .*it is a number, which a contact cannot tell"),
        ({"debounce": 61.0}, r"^debounce: expected 0s to 60s"),
        ({"debounce": -0.1}, r"^debounce: "),
    ],
)
def test_mistakes_name_the_key_and_what_would_be_right(settings, mistake):
    with pytest.raises(ValueError, match=mistake):
        Contact(**{"pin": 17, "point": "auxiliaries.safeDoor", **settings})


def test_a_level_counts_once_it_has_stayed_and_from_when_it_left():
    state = Debounce(closed=True, wait=0.05)
    assert state.due == inf
    assert state.edge(False, 10.000) is None
    assert state.due == pytest.approx(10.050)
    assert state.settle(10.049) is None
    assert state.settle(10.050) == 10.000
    assert state.closed is False
    assert state.due == inf


def test_bounces_are_taken_out_and_the_time_is_that_of_the_last_leaving():
    state = Debounce(closed=True, wait=0.05)
    for mono, level in ((10.000, False), (10.004, True), (10.006, False), (10.007, True), (10.009, False)):
        assert state.edge(level, mono) is None
    assert state.settle(10.058) is None
    assert state.settle(10.060) == 10.009


def test_a_glitch_changes_nothing():
    state = Debounce(closed=True, wait=0.05)
    state.edge(False, 10.000)
    state.edge(True, 10.020)
    assert state.due == inf
    assert state.settle(99.0) is None
    assert state.closed is True


def test_a_level_that_stayed_counts_even_if_the_next_edge_is_seen_first():
    state = Debounce(closed=True, wait=0.05)
    state.edge(False, 10.0)
    assert state.edge(True, 12.0) == 10.0
    assert state.closed is False
    assert state.settle(12.05) == 12.0
    assert state.closed is True


edges = st.lists(st.tuples(st.integers(1, 200), st.booleans()), max_size=40)  # in milliseconds


@given(edges, st.booleans())
def test_the_state_that_counts_is_that_of_the_levels_that_stayed(script, closed):
    """Against a plain description: the level counts that was there for at least the wait, the newest of these."""
    wait, mono = 50, 100
    state = Debounce(closed, wait)
    changes: list[tuple[float, bool]] = []
    levels = [(0, closed)]
    for gap, level in script:
        mono += gap
        left = state.edge(level, mono)
        if left is not None:
            changes.append((left, not (changes[-1][1] if changes else closed)))
        levels.append((mono, level))
    left = state.settle(mono + 1000)
    if left is not None:
        changes.append((left, state.closed))
    levels.append((mono + 1000, levels[-1][1]))
    expected, counts = [], closed
    for (start, level), (end, _) in pairwise(levels):
        if end - start >= wait and level != counts:
            counts = level
            expected.append(counts)
    assert [level for _, level in changes] == expected
    assert state.closed == counts
    assert [left for left, _ in changes] == sorted(left for left, _ in changes)


def test_words_and_times_of_contacts():
    contacts = Contacts("atm-1", [SAFE, SEISMIC], {17: True, 27: True})
    assert contacts.states(5.0) == [
        Reading("atm-1", "auxiliaries.safeDoor", "closed", 5.0),
        Reading("atm-1", "auxiliaries.seismicSensor", "off", 5.0),
    ]
    assert contacts.edge(17, False, at=1000.0, mono=10.0) == []
    assert contacts.due == pytest.approx(10.05)
    assert contacts.settle(at=1000.5, mono=10.5) == [Reading("atm-1", "auxiliaries.safeDoor", "open", 1000.0)]
    assert contacts.edge(27, False, at=1002.0, mono=12.0) == []
    assert contacts.settle(at=1002.9, mono=12.9) == []
    assert contacts.edge(27, True, at=1004.0, mono=14.0) == [Reading("atm-1", "auxiliaries.seismicSensor", "on", 1002.0)]


def test_levels_that_differ_from_the_last_edge():
    contacts = Contacts("atm-1", [SAFE, SEISMIC], {17: True, 27: True})
    assert contacts.differing({17: True, 27: True}) == []
    assert contacts.differing({17: False, 27: True}) == [17]


def test_edges_are_given_for_those_who_count_them():
    contacts = Contacts("atm-1", [SAFE, SEISMIC], {17: True, 27: True})
    assert contacts.edges({17: 12, 27: 9}, 5.0) == [Reading("atm-1", "gpio.17.edges", 12, 5.0)]
