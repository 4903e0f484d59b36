"""A gateway without a clock of its own: it boots in 1970, learns the time, and what it kept meanwhile is put right."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.records import Alarm, Body, Envelope, EventClass, Evidence, Loss, Reading, Severity, Stamp, Summary
from agent.stages.rebase import rebased

NOW = Stamp(at=1_760_000_600.0, mono=700.0, boot="b2", synced=True)  # this boot began at 1759999900


def kept(body: Body, at: float, mono: float, boot: str = "b2", *, synced: bool = False) -> Envelope:
    return Envelope("gw", "e", "lane", 1, boot, mono, at, synced, body)


def test_every_kind_of_record_gets_the_time_that_it_was() -> None:
    alarm = Alarm("m", 40.0, "r", EventClass.FAULT, Severity.FATAL, "p", "open", (Evidence("p", "open", 39.0),))
    for body, right in (
        (Reading("m", "p", 1.0, 41.0), Reading("m", "p", 1.0, 1_759_999_941.0)),
        (Summary("m", 0.0, 60.0, 1.0, {}), Summary("m", 1_759_999_900.0, 1_759_999_960.0, 1.0, {})),
        (alarm, replace(alarm, at=1_759_999_940.0, evidence=(Evidence("p", "open", 1_759_999_939.0),))),
        (Loss("readings", 1, 2, 2, "full"), Loss("readings", 1, 2, 2, "full")),
    ):
        (envelope,) = rebased([kept(body, at=42.0, mono=42.0)], NOW)  # it was 1970, and 42 s after the boot
        assert (envelope.at, envelope.synced) == (1_759_999_942.0, True)
        assert envelope.body == right


def test_nothing_is_guessed() -> None:
    reading = Reading("m", "p", 1.0, 41.0)
    earlier = kept(reading, 42.0, 42.0, boot="b1")  # who knows how long the box was off
    right = kept(reading, 1_760_000_000.0, 100.0, synced=True)
    early = kept(reading, 42.0, 42.0)
    assert rebased([earlier, right], NOW) == [earlier, right]
    assert rebased([early], replace(NOW, synced=False)) == [early]


def test_a_clock_that_was_right_all_along_is_only_believed() -> None:
    envelope = kept(Reading("m", "p", 1.0, 1_760_000_000.0), at=1_760_000_000.2, mono=100.0)
    assert rebased([envelope], NOW) == [replace(envelope, synced=True)]


@given(st.lists(st.tuples(st.floats(0, 700), st.booleans(), st.sampled_from(["b1", "b2"])), max_size=20))
def test_positions_and_the_order_of_one_boot_stay(kept_at: list[tuple[float, bool, str]]) -> None:
    monos = sorted(mono for mono, _, _ in kept_at)
    batch = [
        replace(
            kept(Reading("m", "p", 1.0, mono), 1_759_999_900 + mono if synced else mono, mono, boot, synced=synced), position=n
        )
        for n, (mono, (_, synced, boot)) in enumerate(zip(monos, kept_at, strict=True), 1)
    ]
    sent = rebased(batch, NOW)
    assert [each.position for each in sent] == [each.position for each in batch]
    times = [each.at for each in sent if each.boot == "b2"]
    assert all(before <= after + 1.0 for before, after in pairwise(times))
