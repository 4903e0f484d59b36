"""A device that is asked, and its twin, at the two ends of a line in virtual time: no port, no thread, no waiting."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Protocol

from agent.records import Reading, Value
from agent.sources import Context
from agent.sources.exchange import Member, Polled, Told, Turns

START = 1_750_000_000.0  # what the wall clock shows when the loop's shows nothing
CONTEXT = Context("device", "atm-1", "gw-1", lambda: START)


class Answerer(Protocol):
    def on_bytes(self, data: bytes, now: float) -> list[tuple[float, bytes]]: ...


class Wired:
    """Turns on one end, twins on the other. `way_out` and `way_back` may spoil what passes."""

    def __init__(self, devices: list[Polled], twins: list[Answerer], way_out=bytes, way_back=bytes) -> None:
        self.now = 0.0
        self.sent: list[bytes] = []
        self.readings: list[Reading] = []
        self.exchanges = 0
        self._twins = twins
        self._way_out: Callable[[bytes], bytes] = way_out
        self._way_back: Callable[[bytes], bytes] = way_back
        self._order = count()
        self._under_way: list[tuple[float, int, bytes]] = []
        self.turns = Turns(self._send)
        self.members = [Member(CONTEXT._replace(name=f"device{number}"), device) for number, device in enumerate(devices)]
        for member in self.members:
            self.turns.add(member)
        self._keep(self.turns.opened(0, START, 0.0))

    def _send(self, data: bytes) -> bool:
        self.sent.append(data)
        self.exchanges += 1
        for twin in self._twins:
            for delay, answer in twin.on_bytes(self._way_out(data), self.now):
                self.say(answer, delay)
        return True

    def say(self, data: bytes, delay: float = 0.0) -> None:
        """Let bytes come after a while."""
        heapq.heappush(self._under_way, (self.now + delay, next(self._order), self._way_back(data)))

    def forget(self) -> None:
        """What is under way never arrives."""
        self._under_way.clear()

    def step(self) -> None:
        """Go on to the next thing that happens."""
        due = max(self.turns.due, self.now + 0.001)
        at = self._under_way[0][0] if self._under_way else inf
        chunk = b""
        if at <= due:
            chunk = heapq.heappop(self._under_way)[2]
            self.now = max(self.now, at)
        else:
            self.now = due
        self._keep(self.turns.received(chunk, START + self.now, self.now))

    def _keep(self, told: list[Told]) -> None:
        for _, readings in told:
            self.readings += readings

    def run(self, seconds: float) -> dict[str, Value]:
        """Let so much time pass; the last value of each point, of all that was said meanwhile."""
        self.readings.clear()
        until = self.now + seconds
        while self.now < until:
            self.step()
        return {reading.point: reading.value for reading in self.readings}

    def until(self, exchanges: int) -> list[Reading]:
        """Go on until so many requests have been sent; all that was said."""
        self.readings.clear()
        while self.exchanges < exchanges:
            self.step()
        return list(self.readings)
