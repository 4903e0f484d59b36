"""A Puloon dispenser: an LCDM-1000 that is the first cassette of the world, or an LCDM-2000 that is its first two.

The world's customers are served by the machine's PC, `Master` here; the dispenser answers with what the world's did.
"""

from __future__ import annotations

from functools import reduce
from operator import xor

from firmware_sim.cash import Cassette
from firmware_sim.twins import Answering, Out
from firmware_sim.uart import Shape
from firmware_sim.world import World

ACK, NCK = b"\x06", b"\x15"
BYTE = 10 / 9_600  # s
FRAME_TIME = 0.2  # s for a whole command
REPEATS = 3
MOVING = frozenset({0x44, 0x45, 0x55, 0x56, 0x76, 0x77})  # purge and every kind of dispense
LARGEST = 60  # notes of one dispense


def framed(start: int, command: int, data: bytes = b"") -> bytes:
    """A command (04) or a response (01)."""
    body = bytes((start, 0x50, 0x02, command)) + data + b"\x03"
    return body + bytes((reduce(xor, body),))


class Lcdm(Answering):
    """One dispenser. `harmed` keeps the commands that move notes."""

    shape = Shape(9_600)

    def __init__(self, world: World, model: int = 1000) -> None:
        self.harmed: list[bytes] = []
        self.model = model
        self._site = world.site
        self._held = b""
        self._last = 0.0
        self._told = {number: (each.presented, each.rejected) for number, each in enumerate(self._cassettes)}

    @property
    def _cassettes(self) -> tuple[Cassette, ...]:
        return self._site.cash.cassettes[: 1 if self.model == 1000 else 2]

    def on_bytes(self, data: bytes, now: float) -> Out:
        """Commands in any chunks: ACK and the response, or NCK."""
        if now - self._last > FRAME_TIME:
            self._held = b""
        self._last = now
        self._held = (self._held + data)[-64:]
        out: Out = []
        while (start := self._held.find(b"\x04\x50\x02")) >= 0 and (end := self._held.find(b"\x03", start + 4)) >= 0:
            if len(self._held) < end + 2:
                break
            command, self._held = self._held[start : end + 2], self._held[end + 2 :]
            if reduce(xor, command) != 0:
                out.append((0.01, NCK))
                continue
            response = self._answer(command)
            out += [(0.01, ACK), (0.02 + len(response) * BYTE, response)]
        return out

    def _answer(self, command: bytes) -> bytes:
        code = command[3]
        if code in MOVING:
            self.harmed.append(command)
        if code == 0x46:
            return framed(0x01, code, bytes((0x30, self._error(), *self._sensors())))
        if code == 0x47:
            return framed(0x01, code, (b"O16T" if self.model == 1000 else b"T20T") + b"1A2B")
        if code in (0x45, 0x55):
            return framed(0x01, code, self._dispensed(0 if code == 0x45 else len(self._cassettes) - 1))
        if code == 0x44:
            return framed(0x01, code, bytes((self._error(),)))
        return framed(0x01, code, b"\x37")

    def _dispensed(self, number: int) -> bytes:
        """What the world's cassette gave since it was last asked for notes."""
        cassette, (presented, rejected) = self._cassettes[number], self._told[number]
        notes, thrown = min(cassette.presented - presented, LARGEST), min(cassette.rejected - rejected, 39)
        self._told[number] = (presented + notes, rejected + thrown)
        near = b"1" if cassette.count <= cassette.near_end else b"0"
        return b"%02d%02d%c%b%02d" % (notes + thrown, notes, self._error(), near, thrown)

    def _error(self) -> int:
        site = self._site
        if site.dispenser.transport != "ok":
            return 0x35
        for number, cassette in enumerate(self._cassettes):
            if cassette.status == "missing":
                return 0x45 + number
            if cassette.count == 0:
                return (0x38, 0x40)[number]
        return 0x44 if site.cash.bin_level == "full" else 0x30

    def _sensors(self) -> tuple[int, int]:
        near = [each.count <= each.near_end for each in self._cassettes]
        gone = [each.status == "missing" for each in self._cassettes]
        exit_ = bool(self._site.cash.slot)
        first = 0x80 | near[0] << 6 | exit_ << 5 | bool(self._site.cash.transit) << 4
        if self.model == 1000:
            return first, 0x80 | gone[0] << 1
        return first, 0x80 | gone[0] << 1 | gone[1] << 2 | near[1] << 5


class Master:
    """The machine's PC: asks for the status every second, and orders the notes that the world's customers get."""

    shape = Shape(9_600)

    def __init__(self, world: World) -> None:
        self.next_at = 0.0
        self._cassette = world.site.cash.cassettes[0]
        self._ordered = self._cassette.presented
        self._asked_rom = False

    def on_bytes(self, data: bytes, now: float) -> Out:
        """A whole response is acknowledged."""
        del now
        return [(0.01, ACK)] if data[:1] == b"\x01" else []

    def tick(self, now: float) -> Out:
        """The next command."""
        self.next_at = now + 1.0
        if not self._asked_rom:
            self._asked_rom = True
            return [(0.0, framed(0x04, 0x47))]
        notes = min(self._cassette.presented - self._ordered, LARGEST)
        if notes:
            self._ordered += notes
            return [(0.0, framed(0x04, 0x45, b"%02d" % notes))]
        return [(0.0, framed(0x04, 0x46))]


def twin(world: World) -> Lcdm:
    """An LCDM-1000."""
    return Lcdm(world)


def lcdm_2000(world: World) -> Lcdm:
    """An LCDM-2000."""
    return Lcdm(world, 2000)


def controller(world: World) -> Master:
    """The machine's PC."""
    return Master(world)
