"""Cash in integer minor units, from counts or from what goes in and out; replenishment by count."""

from __future__ import annotations

from math import inf
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import CashPosition, Quality, Reading
from agent.stages.cash import WAIT, Cash, Cassette

TEN, FIFTY = Cassette(1_000, "EUR", 2_000, load=600, low=150, high=1_800), Cassette(5_000, "EUR", 2_000, load=1_400)


class Till:
    """A machine with two cassettes; `said` is what the stage says, `exposed` the newest of what it says of the exposure."""

    def __init__(self, bins: dict[str, int] | None = None, **cassettes: Cassette) -> None:
        self.cash = Cash("m", cassettes or {"unit1": TEN, "unit2": FIFTY}, bins)
        self.said: list[tuple[float, str, Any]] = []
        self.exposed: tuple[Any, Quality] | None = None

    def wait(self, until: float) -> Till:
        while self.cash.due <= until:
            due = self.cash.due
            for each in self.cash.tick(due):
                if each.point == "machine.exposure":
                    self.exposed = each.value, each.quality
                else:
                    self.said.append((round(due, 1), each.point, each.value))
        return self

    def tell(self, at: float, **values: Any) -> Till:
        """unit1_count=5 says storage.unit1.count."""
        self.wait(at)
        for name, value in values.items():
            point = "cashDispenser.exchange" if name == "exchange" else f"storage.{name.replace('_', '.')}"
            assert self.cash.wants(point)
            self.cash.feed(Reading("m", point, value, at))
        return self


def test_the_position_is_the_sum_of_what_the_machine_counts() -> None:
    till = Till().tell(0.0, unit1_count=100, unit2_count=10).wait(1.0)
    assert till.cash.position() == CashPosition("EUR", 150_000, {"unit1": 100, "unit2": 10})
    assert till.said == [(0.2, "machine.cash", 150_000)]
    till.tell(10.0, unit1_count=98).wait(11.0)
    assert till.said[1:] == [(5.0, "storage.unit1.replenishmentStatus", "low"), (5.0, "storage.unit2.replenishmentStatus", "ok"),
                             (10.2, "machine.cash", 148_000)]  # fmt: skip


def test_unknown_in_part_is_unknown() -> None:
    till = Till().tell(0.0, unit1_count=100).wait(1.0)
    assert till.cash.position() is None
    assert till.said == []
    till.tell(2.0, unit2_count=1).tell(3.0, unit1_count=None).wait(4.0)
    assert till.cash.position() is None
    assert till.said[-1] == (3.2, "machine.cash", None)


def test_what_is_unknown_is_bad_and_says_why() -> None:
    till = Till().tell(0.0, unit1_count=1, unit2_count=1).wait(1.0).tell(2.0, unit2_count=None)
    unknown = [Reading("m", point, None, 2.2, Quality.BAD, "unknownCount") for point in ("machine.cash", "machine.exposure")]
    assert till.cash.tick(2.2) == unknown


def test_initial_plus_in_minus_out_since_the_last_exchange() -> None:
    till = Till().tell(0.0, unit1_presented=500, unit1_rejected=20, unit1_deposited=0, unit2_presented=7, unit2_rejected=0)
    assert till.tell(1.0, unit1_presented=510).cash.position() is None  # nobody knows what it began with
    till.tell(2.0, exchange="active").tell(3.0, exchange="inactive")
    till.tell(4.0, unit1_presented=514, unit1_rejected=21, unit1_deposited=2, unit2_presented=8)
    assert till.cash.position() == CashPosition("EUR", (600 - 4 - 1 + 2) * 1_000 + 1_399 * 5_000, {"unit1": 597, "unit2": 1_399})


def test_a_count_that_the_machine_says_is_believed_over_arithmetic() -> None:
    till = Till().tell(0.0, exchange="active").tell(1.0, exchange="inactive").tell(2.0, unit1_count=42, unit2_count=1)
    till.tell(3.0, unit1_presented=5).tell(4.0, unit1_presented=9).tell(5.0, exchange="active").tell(6.0, exchange="inactive")
    assert till.cash.position() == CashPosition("EUR", 42_000 + 5_000, {"unit1": 42, "unit2": 1})


@pytest.mark.parametrize(
    ("count", "word"), [(0, "empty"), (149, "low"), (150, "ok"), (1_800, "ok"), (1_801, "high"), (2_000, "full")]
)
def test_replenishment_by_count(count: int, word: str) -> None:
    till = Till(unit1=TEN).tell(0.0, unit1_count=count).wait(60.0)
    assert till.said[-1] == (WAIT, "storage.unit1.replenishmentStatus", word)


def test_a_machine_that_has_a_word_of_its_own_is_not_corrected() -> None:
    till = Till(unit1=TEN).tell(0.0, unit1_count=5).tell(1.0, unit1_replenishmentStatus="ok").wait(1e4)
    assert [point for _, point, _ in till.said] == ["machine.cash"]


def test_no_cassettes_no_word() -> None:
    cash = Cash("m", {})
    assert cash.position() is None
    assert cash.due == inf
    assert not cash.wants("cashDispenser.exchange")


def test_arithmetic_goes_on_after_a_restart() -> None:
    till = Till().tell(0.0, unit1_presented=10, unit2_presented=10).tell(1.0, exchange="active").tell(2.0, exchange="inactive")
    till.tell(3.0, unit1_presented=15)
    notes = msgspec.json.decode(msgspec.json.encode(till.cash.changed()))
    again = Till()
    again.cash.restore(notes)
    again.tell(9.0, unit1_presented=20, unit2_presented=11)
    assert again.cash.position() == CashPosition("EUR", 590 * 1_000 + 1_399 * 5_000, {"unit1": 590, "unit2": 1_399})
    assert till.cash.changed() == {}


# What a thief would find ------------------------------------------------------------------------------------------------------

BINS = {"unitReject": 5_000, "unitDeposit": 10_000}
FULL = 150_000  # minor units in the cassettes
SWAP = ({"exchange": "active"}, {"exchange": "inactive"})


def counted(**bins: int) -> Till:
    return Till(bins).tell(0.0, unit1_count=100, unit2_count=10)


def test_without_bins_the_exposure_is_the_cash() -> None:
    assert counted().wait(1.0).exposed == (FULL, Quality.GOOD)


def test_bins_that_say_their_count_are_in_the_exposure_and_not_in_the_cash() -> None:
    till = counted(**BINS).tell(0.0, unitReject_count=3, unitDeposit_count=2).wait(1.0)
    assert till.exposed == (FULL + 3 * 5_000 + 2 * 10_000, Quality.GOOD)
    assert till.said == [(0.2, "machine.cash", FULL)]
    position = till.cash.position()
    assert position is not None
    assert set(position.units) == {"unit1", "unit2"}


def test_a_bin_that_nobody_counted_makes_the_exposure_more_than_is_said() -> None:
    till = counted(**BINS).tell(0.0, unitReject_count=1).wait(1.0)
    assert till.exposed == (FULL + 5_000, Quality.UNCERTAIN)
    assert till.tell(2.0, unitDeposit_count=0).wait(3.0).exposed == (FULL + 5_000, Quality.GOOD)


def test_a_bin_is_empty_after_an_exchange_and_grows_by_what_it_takes() -> None:
    till = counted(unitReject=5_000).tell(1.0, unitReject_rejected=900, unitReject_retracted=40).wait(2.0)
    assert till.exposed == (FULL, Quality.UNCERTAIN)
    till.tell(3.0, **SWAP[0]).tell(4.0, **SWAP[1]).tell(5.0, unitReject_rejected=902).tell(6.0, unitReject_retracted=41).wait(7.0)
    assert till.exposed == (FULL + 3 * 5_000, Quality.GOOD)
    till.tell(8.0, **SWAP[0]).tell(9.0, **SWAP[1]).wait(10.0)
    assert till.exposed == (FULL, Quality.GOOD)


@pytest.mark.parametrize("between", ["missing", None])
def test_only_a_bin_that_was_taken_out_is_empty(between: str | None) -> None:
    till = counted(unitDeposit=10_000).tell(1.0, **SWAP[0]).tell(2.0, **SWAP[1])
    till.tell(3.0, unitDeposit_deposited=7, unitDeposit_status="ok").tell(4.0, unitDeposit_deposited=9)
    till.tell(5.0, unitDeposit_status=between).tell(6.0, unitDeposit_status="ok").wait(7.0)
    assert till.exposed == (FULL + (0 if between == "missing" else 2 * 10_000), Quality.GOOD)


def test_where_the_cash_is_not_known_the_exposure_is_not() -> None:
    till = counted(unitReject=5_000).tell(1.0, unitReject_count=1).tell(2.0, unit1_count=None).wait(3.0)
    assert till.exposed == (None, Quality.BAD)


def test_a_machine_that_only_takes_notes_has_an_exposure() -> None:
    cash = Cash("m", {}, {"unitDeposit": 10_000})
    cash.feed(Reading("m", "storage.unitDeposit.count", 4, 1.0))
    assert cash.tick(1.2) == [Reading("m", "machine.exposure", 40_000, 1.2)]


def test_what_a_bin_took_is_kept_over_a_restart() -> None:
    till = (
        counted(unitReject=5_000)
        .tell(1.0, **SWAP[0], unitReject_rejected=5)
        .tell(2.0, **SWAP[1])
        .tell(3.0, unitReject_rejected=8)
    )
    again = counted(unitReject=5_000)
    again.cash.restore(msgspec.json.decode(msgspec.json.encode(till.cash.changed())))
    again.tell(9.0, unitReject_rejected=9).wait(10.0)
    assert again.exposed == (FULL + 4 * 5_000, Quality.GOOD)


@pytest.mark.parametrize("document", [{"count": "many"}, {"last": [1]}, {}])
def test_notes_that_cannot_be_read_are_unknown(document: dict[str, Any]) -> None:
    till = Till()
    till.cash.restore({"unit1": document, "unit9": {"count": 5}})
    assert till.cash.position() is None


@pytest.mark.parametrize("field", ["capacity", "load", "low", "high"])
def test_a_cassette_cannot_hold_less_than_nothing(field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        Cassette(1_000, "EUR", **{field: -1})


@given(st.lists(st.tuples(st.sampled_from(["presented", "rejected", "deposited"]), st.integers(1, 40)), max_size=40))
def test_no_note_is_lost_by_arithmetic(moves: list[tuple[str, int]]) -> None:
    till = Till(unit1=TEN).tell(0.0, unit1_presented=0, unit1_rejected=0, unit1_deposited=0)
    till.tell(1.0, exchange="active").tell(2.0, exchange="inactive")
    counters = {"presented": 0, "rejected": 0, "deposited": 0}
    for number, (what, notes) in enumerate(moves):
        counters[what] += notes
        till.tell(3.0 + number, **{f"unit1_{what}": counters[what]})
    position = till.cash.position()
    assert position is not None
    assert position.units["unit1"] == 600 - counters["presented"] - counters["rejected"] + counters["deposited"]
    assert isinstance(position.value, int)
