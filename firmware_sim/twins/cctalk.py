"""A coin hopper and a note validator on a ccTalk wire, with the echo of the one wire, and the machine's master that asks them.

The world has no coins and takes no notes; a small till beside it goes on by itself, with a course that the seed decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

from firmware_sim.twins import Answering, Out
from firmware_sim.uart import Shape
from firmware_sim.world import World

HOST, HOPPER, VALIDATOR = 1, 3, 40
DELAY, BYTE, GAP = 0.01, 10 / 9_600, 0.05  # s
CHANGING = frozenset({1, 152, 154, 160, 161, 164, 165, 167, 172, 228, 230, 231})  # requests that do something


def frame(dst: int, header: int, data: bytes = b"", src: int = HOST) -> bytes:
    """A frame with a sum."""
    body = bytes((dst, len(data), src, header)) + data
    return body + bytes((-sum(body) % 256,))


class Till:
    """Coins and notes as they come and go: what the devices count."""

    def __init__(self, rng: Random) -> None:
        self.coins = 400
        self.paid = 12_000  # coins, ever
        self.flags = 0  # of the test
        self.counter = 0  # of bill events
        self.events: deque[tuple[int, int]] = deque([(0, 0)] * 5, 5)
        self.fault = 0
        self._rng = rng
        self._at: float | None = None  # how far its course has come; it begins when somebody first asks

    def event(self, bill: int, code: int) -> None:
        """Something happens to a note."""
        self.counter = self.counter % 255 + 1
        self.events.appendleft((bill, code))

    def run_to(self, now: float) -> None:
        """A customer pays with a note now and then, and gets coins back."""
        at = now if self._at is None else self._at
        while at < now:
            at += self._rng.expovariate(1 / 20.0)
            coins = min(self._rng.randrange(8), self.coins)
            self.coins, self.paid = self.coins - coins, self.paid + coins
            if self.coins == 0:
                self.coins = 400
            if self._rng.random() < 0.05:
                self.event(0, 2)
            else:
                bill = self._rng.randrange(1, 5)
                self.event(bill, 1)
                self.event(bill, 0)
        self._at = at


class Wire(Answering):
    """The devices on the wire. What anybody sends comes back to him first. `harmed` keeps requests that do something."""

    shape = Shape(9_600)

    def __init__(self, till: Till, *, echo: bool = True) -> None:
        self.harmed: list[bytes] = []
        self._till = till
        self._echo = echo
        self._held = b""
        self._last = 0.0

    def on_bytes(self, data: bytes, now: float) -> Out:
        """Requests in any chunks; the echo, and the answer of the one who is meant."""
        self._till.run_to(now)
        if now - self._last > GAP:
            self._held = b""
        self._last = now
        out: Out = [(0.0, data)] if self._echo and data else []
        self._held = (self._held + data)[-512:]
        while len(self._held) >= 2 and len(self._held) >= (length := self._held[1] + 5):
            request, rest = self._held[:length], self._held[length:]
            if sum(request) % 256:
                self._held = self._held[1:]
                continue
            self._held = rest
            if request[0] in (HOPPER, VALIDATOR):
                answer = self._answer(request)
                out.append((DELAY + len(answer) * BYTE, answer))
        return out

    def _answer(self, request: bytes) -> bytes:
        unit, header = request[0], request[3]
        if header in CHANGING:
            self.harmed.append(request)
        found = (self._hopper if unit == HOPPER else self._validator).get(header)
        name = {246: b"SIM", 244: b"HOPPER" if unit == HOPPER else b"VALIDATOR", 241: b"1.0"}.get(header)
        if header == 254:
            return frame(HOST, 0, src=unit)
        if name is not None:
            return frame(HOST, 0, name, unit)
        return frame(HOST, 5, src=unit) if found is None else frame(HOST, 0, found(), unit)

    @property
    def _hopper(self) -> dict[int, Callable[[], bytes]]:
        till = self._till
        return {
            217: lambda: bytes((0x30 | (till.coins < 50) | (till.coins > 390) << 1,)),
            163: lambda: till.flags.to_bytes(3, "little"),
            166: lambda: bytes((1, 0, 0, 0)),
            168: lambda: till.paid.to_bytes(3, "little"),
        }

    @property
    def _validator(self) -> dict[int, Callable[[], bytes]]:
        till = self._till
        return {
            159: lambda: bytes((till.counter, *(number for pair in till.events for number in pair))),
            232: lambda: bytes((till.fault,)),
        }


class Master:
    """The machine's own controller: asks both devices, again and again."""

    shape = Shape(9_600)
    asks = ((HOPPER, 217), (HOPPER, 163), (HOPPER, 166), (HOPPER, 168), (VALIDATOR, 159), (VALIDATOR, 232))

    def __init__(self) -> None:
        self.next_at = 0.0
        self._turn = 0

    def on_bytes(self, data: bytes, now: float) -> Out:
        """Answers; it only asks."""
        del data, now
        return []

    def tick(self, now: float) -> Out:
        """The next request."""
        self.next_at = now + 0.1
        unit, header = self.asks[self._turn % len(self.asks)]
        self._turn += 1
        return [(0.0, frame(unit, header))]


def twin(world: World) -> Wire:
    """A hopper (address 3) and a validator (address 40) on one wire."""
    return Wire(Till(world.site.stream("cctalk")))


def controller(world: World) -> Master:
    """Who masters them."""
    del world
    return Master()
