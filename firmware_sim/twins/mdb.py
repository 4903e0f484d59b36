"""The MDBStuff adapter with a note validator and a coin changer behind it. It talks by itself, like the adapter.

The world takes no notes; what happens on this bus is a small course of its own that the seed decides.
"""

from __future__ import annotations

from random import Random

from firmware_sim.twins import Out
from firmware_sim.uart import Shape
from firmware_sim.world import World

START = (
    "SYS*MDBSTART*1.2.2", "BV*STATUS*DISABLED", "BV*STATUS*JUSTRESET", "BV*CFG*1*1985*1.00*2*300*1",
    "BV*ID*SIM*0001*VALIDATOR*111*0*0", "CC*STATUS*JUSTRESET", "CC*ID*SIM*0002*CHANGER*127*1*1*1*0",
    "SYS*DEVONLINE*CC", "SYS*DEVONLINE*BV", "BV*ENABLE*OK", "CC*ENABLE*OK",
)  # fmt: skip
LEVELS_EVERY = 60.0  # s
CAPACITY = 300  # notes


class Adapter:
    """One adapter. `harmed` keeps whatever a gateway sent: there is nothing that an observer may say here."""

    shape = Shape(9_600)

    def __init__(self, rng: Random) -> None:
        self.next_at = 0.0
        self.harmed: list[bytes] = []
        self.notes, self.coins = 40, 31
        self._rng = rng
        self._levels_at = 0.0
        self._started = False

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
        lines = [] if self._started else list(START)
        self._started = True
        if now >= self._levels_at:
            self._levels_at = now + LEVELS_EVERY
            lines += self.levels() * 2  # the adapter asks again after each change
        elif self._rng.random() < 0.5:
            lines += self.note()
        self.next_at = now + self._rng.uniform(2.0, 20.0)
        return [(0.0, said(*lines))] if lines else []

    def levels(self) -> list[str]:
        """The places and what is in them."""
        full = int(self.notes >= CAPACITY)
        return [f"BV*STACKER*{self.notes}*{full}", f"CC*TUBE*4*1.00*{self.coins}*0", "CC*TUBESTATREQ*OK"]

    def note(self) -> list[str]:
        """Somebody puts a note in."""
        if self._rng.random() < 0.1:
            return ["BV*STATUS*REJECT"]
        kind = self._rng.randrange(1, 5)
        value = (10, 20, 50, 100)[kind - 1]
        if self.notes >= CAPACITY:
            return [f"BV*BILLACTION*{kind}*{value}.00*RETURN"]
        self.notes += 1
        return [f"BV*BILLACTION*{kind}*{value}.00*ESCROW", f"BV*BILLACTION*{kind}*{value}.00*STACKER"]


def said(*lines: str) -> bytes:
    """Lines as they travel."""
    return "".join(f"{line}\r\n" for line in lines).encode()


def twin(world: World) -> Adapter:
    """An adapter."""
    return Adapter(world.site.stream("mdb"))
