"""The note dispenser: picks, rejects, jams, shutter. What a note suffers is decided note by note."""

from __future__ import annotations

from collections import Counter
from random import Random

from agent.records import Value
from firmware_sim.cash import Cash, Cassette
from firmware_sim.params import Parameters

NOTE_ERRORS = ("skewedNote", "longNote", "shortNote", "notesTooClose", "otherNoteError")


class Jam(Exception):
    """Notes are stuck in the transport."""


class Dispenser:
    """The path from the cassettes to the slot. Its counters only grow."""

    def __init__(self, cash: Cash, params: Parameters, rng: Random) -> None:
        self._cash = cash
        self._params = params
        self._rng = rng
        self.device = "online"
        self.shutter = "closed"
        self.transport = "ok"
        self.exchange = "inactive"
        self.note_error = rng.choice(NOTE_ERRORS)  # the last one, before the world began
        self.presents = rng.randrange(60_000, 300_000)
        self.retracts = round(self.presents * params.forgotten_cash_per_present)
        self.picks = round(self.presents * 2.8)
        self.pick_failures = round(self.picks * params.pick_failures_per_note)
        self.reject_factor = 1.0  # grows when rollers wear or notes are damp
        self.jam_next = False  # the next dispense gets stuck
        self.trapped = False  # a claw holds what is presented

    @property
    def usable(self) -> bool:
        """It could dispense now."""
        return (
            self.device == "online"
            and self.transport == "ok"
            and self.shutter == "closed"
            and self.exchange == "inactive"
            and self._cash.roll_up(self._cash.bin_level) != "stop"
        )

    def seconds(self, notes: int) -> float:
        """How long dispensing `notes` takes."""
        return self._params.dispense_overhead_s + notes / self._params.notes_per_s

    def stack(self, mix: dict[int, int]) -> bool:
        """Bring notes from the cassettes to the stacker. False when they ran out: what was picked went to the bin.

        What an earlier dispense left behind goes to the bin first: nobody is to be presented notes that he did not ask for.
        Raises Jam when notes got stuck; they stay in the transport until somebody clears it, or the next dispense does.
        """
        if self._cash.transit:
            self.purge()
        for denomination, notes in mix.items():
            for _ in range(notes):
                if not self._pick(denomination):
                    self.purge()
                    return False
        return True

    def _pick(self, denomination: int) -> bool:
        rates = self._params
        while (cassette := self._cash.source(denomination)) is not None:
            self.picks += 1
            chance = self._rng.random()
            if self.jam_next or (chance := chance - rates.jams_per_note) < 0:
                self._jam(cassette)
            if (chance := chance - rates.doubles_per_note) < 0:
                self.note_error = "doubleNote"
                self._reject(cassette, 2)
            elif (chance := chance - rates.rejects_per_note * self.reject_factor) < 0:
                self.note_error = self._rng.choice(NOTE_ERRORS)
                self._reject(cassette, 1)
            elif chance < rates.pick_failures_per_note * cassette.wear:
                self.pick_failures += 1
            else:
                cassette.count -= 1
                self._cash.transit.append(cassette)
                return True
        return False

    def _reject(self, cassette: Cassette, notes: int) -> None:
        moved = min(notes, cassette.count)
        cassette.count -= moved
        cassette.rejected += moved
        self._cash.rejected += moved
        self._cash.rejects[cassette.denomination] += moved

    def _jam(self, cassette: Cassette) -> None:
        cassette.count -= 1
        cassette.accuracy = "inaccurate"
        self._cash.transit.append(cassette)
        self.jam_next = False
        self.note_error = "otherNoteError"
        self.transport = "inoperative"
        self.device = "hardwareError"
        raise Jam

    def purge(self) -> None:
        """Move what is in the transport to the bin."""
        for cassette in self._cash.transit:
            cassette.rejected += 1
            self._cash.rejects[cassette.denomination] += 1
            self._cash.rejected += 1
        self._cash.transit.clear()

    def present(self) -> int:
        """Open the shutter and offer what is stacked; gives the number of notes."""
        self.presents += 1
        self.shutter = "open"
        for cassette in self._cash.transit:
            cassette.presented += 1
            self._cash.slot[cassette.denomination] += 1
        self._cash.transit.clear()
        return self._cash.slot.total()

    def take(self) -> int:
        """Somebody takes what is in the slot; gives minor units. The shutter closes."""
        value = sum(denomination * notes for denomination, notes in self._cash.slot.items())
        self._cash.taken += self._cash.slot
        self._cash.slot.clear()
        self.shutter = "closed"
        return value

    def retract(self) -> int:
        """Pull back what was not taken; gives the number of notes that came. A claw holds most of them."""
        self.retracts += 1
        come = Counter(note for note in self._cash.slot.elements() if not self.trapped or self._rng.random() < 0.2)
        self.shutter = "jammedPartiallyOpen" if self.trapped else "closed"
        self._cash.retracts += come
        self._cash.slot -= come
        self._cash.retracted += come.total()
        return come.total()

    def words(self) -> dict[str, Value]:
        """What its status lines say."""
        return {
            "cashDispenser.device": self.device,
            "cashDispenser.outDefault.shutter": self.shutter,
            "cashDispenser.outDefault.positionStatus": "notEmpty" if self._cash.slot else "empty",
            "cashDispenser.outDefault.transport": self.transport,
            "cashDispenser.exchange": self.exchange,
            "cashManagement.noteError": self.note_error,
        }

    def numbers(self) -> dict[str, Value]:
        """Its counters."""
        return {
            "cashDispenser.presents": self.presents,
            "cashDispenser.retracts": self.retracts,
            "cashDispenser.picks": self.picks,
            "cashDispenser.pickFailures": self.pick_failures,
        }
