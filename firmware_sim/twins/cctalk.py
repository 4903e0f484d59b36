"""A coin hopper and a note validator on a ccTalk wire, with the echo of the one wire, and the machine's master that asks them.

They are the hopper and the acceptor of the one world. The validator stacks what it takes by itself, as one does whose master has
switched its escrow off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from firmware_sim.coins import CoinHopper, hopper
from firmware_sim.deposits import NoteAcceptor, Trouble, acceptor
from firmware_sim.twins import Answering, Out
from firmware_sim.uart import Shape
from firmware_sim.world import World

HOST, HOPPER, VALIDATOR = 1, 3, 40
DELAY, BYTE, GAP = 0.01, 10 / 9_600, 0.05  # s
CHANGING = frozenset({1, 152, 154, 160, 161, 164, 165, 167, 172, 228, 230, 231})  # requests that do something

MAX_CURRENT, PAYOUT_TIMEOUT = 1, 2  # flags of the test
LOW, HIGH, SENSORS = 1, 2, 0x30  # of the levels
IN_ESCROW, STACKED = 1, 0  # events of a note
RETURNED, INVALID, STACKER_OK, STACKER_OUT, STACKER_IN, STACKER_FULL = 1, 2, 10, 11, 12, 14  # events without one
EVENTS: dict[Trouble, int] = {"jamInAcceptor": 6, "jamInStacker": 7, "failure": 13, "cheated": 18}
FAULTS: dict[Trouble, int] = {"jamInAcceptor": 39, "jamInStacker": 39, "failure": 38}
STACKER_MISSING_FAULT, STACKER_FULL_FAULT = 44, 45


def frame(dst: int, header: int, data: bytes = b"", src: int = HOST) -> bytes:
    """A frame with a sum."""
    body = bytes((dst, len(data), src, header)) + data
    return body + bytes((-sum(body) % 256,))


class Till:
    """What the two devices would answer now."""

    powered = True

    def __init__(self, coins: int = 400, paid: int = 12_000) -> None:
        self.coins = coins
        self.paid = paid  # ever
        self.low, self.high = 50, 390
        self.flags = 0  # of the test
        self.counter = 0  # of bill events
        self.events: deque[tuple[int, int]] = deque([(0, 0)] * 5, 5)
        self.fault = 0

    def event(self, bill: int, code: int) -> None:
        """Something happens to a note."""
        self.counter = self.counter % 255 + 1
        self.events.appendleft((bill, code))

    def look(self) -> None:
        """Called before each answer: what has happened since the last."""


class WorldTill(Till):
    """The hopper and the acceptor of a world."""

    def __init__(self, coins: CoinHopper, notes: NoteAcceptor) -> None:
        super().__init__()
        self._coins, self._notes = coins, notes
        self.low, self.high = coins.habits.low, coins.habits.high
        self._counted = self._counts
        self._shown = self._state
        self._escrow = False

    @property
    def powered(self) -> bool:  # type: ignore[override]
        """Without power nobody answers."""
        return self._notes.powered

    @property
    def _counts(self) -> tuple[int, int, int]:
        return self._notes.accepted, self._notes.rejected, self._notes.returned

    @property
    def _state(self) -> tuple[Trouble, bool, bool]:
        return self._notes.trouble, self._notes.seated, self._notes.full

    def look(self) -> None:
        """The world as it is now, and the events that have led to it."""
        self.coins, self.paid = self._coins.coins, self._coins.paid
        self.flags = MAX_CURRENT * self._coins.jammed | PAYOUT_TIMEOUT * self._coins.short
        self._note_events()
        self._state_events()
        trouble, seated, full = self._state
        missing = STACKER_MISSING_FAULT if not seated else STACKER_FULL_FAULT if full else 0
        self.fault = FAULTS.get(trouble, 0) or missing

    def _note_events(self) -> None:
        notes, counts = self._notes, self._counts
        escrow = notes.doing == "escrow"
        if escrow and not self._escrow:
            self.event(notes.denomination, IN_ESCROW)
        if escrow:
            notes.stack()
        self._escrow = escrow
        kinds = ((notes.denomination, STACKED), (0, INVALID), (0, RETURNED))
        for (bill, code), before, now in zip(kinds, self._counted, counts, strict=True):
            for _ in range(now - before):
                self.event(bill, code)
        self._counted = counts

    def _state_events(self) -> None:
        (was, sat, held), (trouble, seated, full) = self._shown, self._state
        if trouble != was:
            self.event(0, EVENTS.get(trouble, STACKER_OK))
        if seated != sat:
            self.event(0, STACKER_IN if seated else STACKER_OUT)
        if full and not held:
            self.event(0, STACKER_FULL)
        self._shown = self._state


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
        self._till.look()
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
            if request[0] in (HOPPER, VALIDATOR) and self._till.powered:
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
            217: lambda: bytes((SENSORS | LOW * (till.coins < till.low) | HIGH * (till.coins > till.high),)),
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
    return Wire(WorldTill(hopper(world.site), acceptor(world.site)))


def controller(world: World) -> Master:
    """Who masters them."""
    del world
    return Master()
