"""What passes over a device's line: the device alone, or the device and the machine's controller that masters it."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Literal, NamedTuple, TypeAlias

from firmware_sim.twins import Out, Twin

Side: TypeAlias = Literal["device", "host"]


class Said(NamedTuple):
    """Bytes on the wire of one side, `delay` seconds from now."""

    delay: float
    side: Side
    data: bytes


class Alone:
    """A device that waits for whoever asks it."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self.shape = twin.shape

    @property
    def next_at(self) -> float:
        """When it next says something by itself."""
        return self._twin.next_at

    def on_bytes(self, data: bytes, now: float) -> list[Said]:
        """What the gateway sent; the answers."""
        return [Said(delay, "device", answer) for delay, answer in self._twin.on_bytes(data, now)]

    def tick(self, now: float) -> list[Said]:
        """What it says by itself."""
        return [Said(delay, "device", data) for delay, data in self._twin.tick(now)]


class Conversation:
    """A device and its controller, which talk to each other; the gateway hears both and is heard by nobody."""

    def __init__(self, twin: Twin, controller: Twin) -> None:
        self._ends: dict[Side, Twin] = {"device": twin, "host": controller}
        self.shape = twin.shape
        self._order = count()
        self._under_way: list[tuple[float, int, Side, bytes]] = []
        self.unheard = 0  # bytes that the gateway sent on a line that it must not write to

    @property
    def next_at(self) -> float:
        """When something next passes over the line."""
        first = self._under_way[0][0] if self._under_way else inf
        return min(first, *(end.next_at for end in self._ends.values()))

    def on_bytes(self, data: bytes, now: float) -> list[Said]:
        """What the gateway sent: nothing, if it keeps to its word."""
        self.unheard += len(data)
        return self.tick(now)

    def tick(self, now: float) -> list[Said]:
        """All that has passed over the line up to `now`."""
        for side, end in self._ends.items():
            if now >= end.next_at:
                self._send(side, end.tick(now), now)
        said = []
        while self._under_way and self._under_way[0][0] <= now:
            at, _, side, data = heappop(self._under_way)
            said.append(Said(0.0, side, data))
            other: Side = "host" if side == "device" else "device"
            self._send(other, self._ends[other].on_bytes(data, at), at)
        return said

    def _send(self, side: Side, out: Out, at: float) -> None:
        for delay, data in out:
            heappush(self._under_way, (at + delay, next(self._order), side, data))
