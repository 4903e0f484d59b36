"""A store against a plain list: whatever is appended, read, settled, refused, evicted, compacted, crashed and opened again."""

from __future__ import annotations

import os
import random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.records import Receipt, Stamp
from agent.store import LANES
from agent.store.lane_store import LaneStore
from agent.store.room import Bounds
from tests.agent.store.disk import Disk
from tests.agent.store.stores import STAMP, body, losses, number_of, open_store

EXAMPLES = int(os.environ.get("STORE_EXAMPLES", "30"))
lanes = st.sampled_from(LANES)


class StoreMachine(RuleBasedStateMachine):
    """The model: of each lane the numbers that were stored, by position; what was settled, what was given up, what was told."""

    @initialize(budget=st.sampled_from([20 * 1024, 64 * 1024, 2**20]))
    def begin(self, budget: int) -> None:
        self.bounds = Bounds(budget, 0, keep_days=1.0, keep_bytes=budget // 4)
        self.disk = Disk()
        self.number = 0
        self.stored: dict[str, dict[int, int]] = {lane: {} for lane in LANES}
        self.settled: dict[str, set[int]] = {lane: set() for lane in LANES}
        self.named: dict[str, set[int]] = {lane: set() for lane in LANES}
        self.gone: dict[str, set[int]] = {lane: set() for lane in LANES}
        self.highest = dict.fromkeys(LANES, 0)
        self.notes: dict[str, dict[str, int]] = {}
        self.stamp = STAMP
        self.restarted = False
        self.store: LaneStore = open_store(self.disk, bounds=self.bounds)

    @rule(lane=lanes, count=st.integers(1, 12))
    def append(self, lane: str, count: int) -> None:
        numbers = list(range(self.number, self.number + count))
        self.number += count
        first = self.store.append(lane, [body(lane, number) for number in numbers], self.stamp)
        assert first > self.highest[lane], "a position was given twice"
        if lane != "alarms":  # among the alarms losses take positions too
            assert first == self.highest[lane] + 1, "a position was left out"
        self.stored[lane].update(zip(range(first, first + count), numbers, strict=True))
        self.highest[lane] = self.store._lanes[lane].next - 1

    @rule(lane=lanes, count=st.integers(1, 5))
    def lose(self, lane: str, count: int) -> None:
        first = self.store.lose(lane, count, "stalled")
        assert first > self.highest[lane]
        self.highest[lane] = first + count - 1
        self.gone[lane].update(range(first, first + count))

    @rule(lane=lanes, limit=st.integers(1, 30), chance=st.randoms(use_true_random=False))
    def deliver(self, lane: str, limit: int, chance: random.Random) -> None:
        """Read; accept some, refuse some, say nothing of the others, in any order."""
        envelopes = self.store.read("one", lane, limit, 2**20)
        positions = [each.position for each in envelopes]
        assert positions == sorted(set(positions))
        for each in envelopes:
            self.highest[lane] = max(self.highest[lane], each.position)
            if not losses([each]):
                assert number_of(each.body) == self.stored[lane][each.position], "another record in its place"
            assert each.position not in self.settled[lane] or self.restarted, "settled, and read again"
        for loss in losses(envelopes):
            self.named[loss.lane].update(range(loss.first, loss.last + 1))
        answers = {position: chance.choice(["accepted", "accepted", "accepted", "rejected", ""]) for position in positions}
        accepted = [position for position, answer in answers.items() if answer == "accepted"]
        rejected = [position for position, answer in answers.items() if answer == "rejected"]
        chance.shuffle(accepted)
        self.store.settle("one", lane, Receipt(tuple(accepted), tuple(rejected), "no"))
        self.settled[lane].update(accepted, rejected)

    @rule(value=st.integers())
    def note(self, value: int) -> None:
        self.store.remember({"test": {"last": {"value": value}}})
        self.notes = {"last": {"value": value}}

    @rule(hours=st.integers(0, 20))
    def tidy(self, hours: int) -> None:
        self.stamp = Stamp(self.stamp.at + hours * 3600, self.stamp.mono + hours * 3600, self.stamp.boot, synced=True)
        self.store.tidy(self.stamp)
        for lane in LANES:
            self.highest[lane] = max(self.highest[lane], self.store._lanes[lane].next - 1)

    @rule()
    def compact(self) -> None:
        self.store._notes._storage.compact()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.restarted = True  # what was settled out of order is read again
        self.store = open_store(self.disk, bounds=self.bounds)

    @rule(chance=st.randoms(use_true_random=False))
    def crash(self, chance: random.Random) -> None:
        for lane in LANES:  # losses are told when there is room for it, also behind an append
            self.highest[lane] = max(self.highest[lane], max(self.stored[lane], default=0))
        self.disk = self.disk.after_crash(chance)
        self.restarted = True
        self.store = open_store(self.disk, bounds=self.bounds)

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def notes_are_what_was_noted(self) -> None:
        assert self.store.recall("test") == self.notes

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def the_budget_holds(self) -> None:
        assert self.store.size <= self.bounds.budget + 64 * 1024 + 16 * 1024

    def teardown(self) -> None:
        """Deliver everything: each position that was given came, or a Loss names it."""
        if not hasattr(self, "store"):
            return
        came: dict[str, set[int]] = {lane: set() for lane in LANES}
        for _ in range(4):
            for lane in LANES:
                while envelopes := self.store.read("one", lane, 100, 2**20):
                    came[lane].update(each.position for each in envelopes)
                    for loss in losses(envelopes):
                        self.named[loss.lane].update(range(loss.first, loss.last + 1))
                    self.store.settle("one", lane, Receipt(tuple(each.position for each in envelopes)))
            self.store.tidy(self.stamp)
        for lane in LANES:
            missing = self.stored[lane].keys() - self.settled[lane] - came[lane] - self.named[lane]
            assert not missing, f"{lane}: lost in silence: {missing}"
            assert self.gone[lane] <= self.named[lane], f"{lane}: nobody was told"
            assert not self.gone[lane] & came[lane], f"{lane}: told as lost, and given again"
        self.store.close()


StoreMachine.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStore = StoreMachine.TestCase
