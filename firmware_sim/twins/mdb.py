"""The MDBStuff adapter with a note validator and a coin changer behind it. It talks by itself, like the adapter.

They are the acceptor and the hopper of the one world; the adapter masters the bus, and stacks what is in escrow.
"""

from __future__ import annotations

from collections.abc import Iterator

from firmware_sim.coins import CoinHopper, hopper
from firmware_sim.deposits import NoteAcceptor, Trouble, acceptor
from firmware_sim.twins import Out
from firmware_sim.uart import Shape
from firmware_sim.world import World

START = (
    "SYS*MDBSTART*1.2.2", "BV*STATUS*DISABLED", "BV*STATUS*JUSTRESET", "BV*CFG*1*1985*1.00*2*{capacity}*1",
    "BV*ID*SIM*0001*VALIDATOR*111*0*0", "CC*STATUS*JUSTRESET", "CC*ID*SIM*0002*CHANGER*127*1*1*1*0",
    "SYS*DEVONLINE*CC", "SYS*DEVONLINE*BV", "BV*ENABLE*OK", "CC*ENABLE*OK",
)  # fmt: skip
VALUES = (10, 20, 50, 100)  # of a note, by its kind from 1
TROUBLES: dict[Trouble, str] = {
    "": "JUSTRESET", "jamInAcceptor": "JAM", "jamInStacker": "JAM", "failure": "BADMOTOR", "cheated": "FISHING",
}  # fmt: skip
EVERY = 0.5  # s between two looks of the adapter at its bus
DIAGNOSTICS_EVERY, LEVELS_EVERY = 3.7, 66.6  # s: 37 and 666 polls
TUBE = 4


class Adapter:
    """One adapter. `harmed` keeps whatever a gateway sent: there is nothing that an observer may say here."""

    shape = Shape(9_600)

    def __init__(self, notes: NoteAcceptor, coins: CoinHopper) -> None:
        self.next_at = 0.0
        self.harmed: list[bytes] = []
        self._notes, self._coins = notes, coins
        self._levels_at = self._diagnostics_at = 0.0
        self._started = False
        self._look()

    def _look(self) -> None:
        """What was told is what is now."""
        notes = self._notes
        self._counted = (notes.accepted, notes.rejected, notes.returned)
        self._shown = (notes.trouble, notes.seated, self._coins.jammed)
        self._escrow = notes.doing == "escrow"

    def on_bytes(self, data: bytes, now: float) -> Out:
        """Commands: an observer sends none."""
        del now
        if data:
            self.harmed.append(data)
        return []

    def tick(self, now: float) -> Out:
        """What the bus has to tell."""
        if now < self.next_at:
            return []
        self.next_at = now + EVERY
        if not self._notes.powered:
            self._started = False
            return []
        lines = list(self._news())
        if not self._started:
            self._started = True
            lines = [line.format(capacity=self._notes.habits.capacity) for line in START]
            self._levels_at = now
        if now >= self._levels_at:
            self._levels_at = now + LEVELS_EVERY
            lines += self.levels() * 2  # the adapter asks again after each change
        elif now >= self._diagnostics_at:
            self._diagnostics_at = now + DIAGNOSTICS_EVERY
            lines += ["DIAG:DIAGST:0300", "CC*DIAG*OK"]
        return [(0.0, said(*lines))] if lines else []

    def levels(self) -> list[str]:
        """The places and what is in them."""
        notes, coins = self._notes, self._coins
        stacker = [f"BV*STACKER*{notes.stacked}*{notes.full:d}"] if notes.seated else []
        full = (coins.coins >= coins.habits.filled) << TUBE - 1  # the bit, as the firmware prints it
        return [*stacker, f"CC*TUBE*{TUBE}*1.00*{coins.coins}*{full}", "CC*TUBESTATREQ*OK"]

    def _news(self) -> Iterator[str]:
        """What has happened since the last look."""
        notes = self._notes
        (accepted, rejected, returned), (trouble, seated, jammed) = self._counted, self._shown
        kind = max(notes.denomination, 1)
        bill = f"BV*BILLACTION*{kind}*{VALUES[(kind - 1) % len(VALUES)]}.00"
        if notes.doing == "escrow":
            notes.stack()
            if not self._escrow:
                yield f"{bill}*ESCROW"
        for line, times in (
            (f"{bill}*STACKER", notes.accepted - accepted),
            ("BV*STATUS*REJECT", notes.rejected - rejected),
            (f"{bill}*RETURN", notes.returned - returned),
        ):
            yield from [line] * times
        if notes.accepted != accepted and notes.seated:
            yield self.levels()[0]
        if notes.trouble != trouble:
            yield f"BV*STATUS*{TROUBLES[notes.trouble]}"
        if notes.seated != seated:
            yield from ["BV*STATUS*JUSTRESET", *self.levels()[:1] * 2] if notes.seated else ["BV*STATUS*CBOXOUT"]
        if self._coins.jammed != jammed:
            yield "CC*STATUS*TUBEJAM" if self._coins.jammed else "CC*STATUS*JUSTRESET"
        self._look()


def said(*lines: str) -> bytes:
    """Lines as they travel."""
    return "".join(f"{line}\r\n" for line in lines).encode()


def twin(world: World) -> Adapter:
    """An adapter."""
    return Adapter(acceptor(world.site), hopper(world.site))
