"""Card reader, receipt printer, keys, PC and its line to the host: small parts with a few states each."""

from __future__ import annotations

from random import Random

from agent.records import Value
from firmware_sim.params import Parameters


class CardReader:
    """A motorised reader for chip and stripe. Its counters only grow."""

    def __init__(self, params: Parameters, rng: Random) -> None:
        self.device = "online"
        self.media = "notPresent"
        self.chip_power = "noCard"
        self.anti_fraud = "ok"
        self.insertion_s: float | None = None  # of the last card; None before the first
        self.drag = 1.0  # factor on the insertion time: something in the throat
        self.error_factor = 1.0
        self.captures = round(rng.randrange(60_000, 300_000) * params.captures_per_transaction)
        self.read_errors = rng.randrange(300, 3_000)

    def words(self) -> dict[str, Value]:
        """What its status lines say."""
        return {
            "cardReader.device": self.device,
            "cardReader.media": self.media,
            "cardReader.antiFraudModule": self.anti_fraud,
            "cardReader.chipPower": self.chip_power,
        }

    def numbers(self) -> dict[str, Value]:
        """Its counters and the last insertion time."""
        return {
            "cardReader.insertionTime_s": self.insertion_s,
            "cardReader.captures": self.captures,
            "cardReader.readErrors": self.read_errors,
        }


class Printer:
    """The receipt printer."""

    def __init__(self, params: Parameters, rng: Random) -> None:
        self.device = "online"
        self.left = rng.randrange(params.receipts_per_roll // 3, params.receipts_per_roll)  # receipts on the roll
        self.receipts = rng.randrange(40_000, 200_000)
        self.jammed = False
        self._roll = params.receipts_per_roll
        self._low = params.receipts_per_roll * params.paper_low_share

    @property
    def paper(self) -> str:
        """The word of `paper.upper`."""
        if self.jammed:
            return "jammed"
        if self.left <= 0:
            return "out"
        return "low" if self.left <= self._low else "full"

    def print(self) -> bool:
        """Print one receipt; False when there is no paper or it is stuck."""
        if self.jammed or self.left <= 0:
            return False
        self.left -= 1
        self.receipts += 1
        return True

    def renew(self) -> None:
        """Put in a new roll and clear the path."""
        self.left = self._roll
        self.jammed = False

    def words(self) -> dict[str, Value]:
        """What its status lines say."""
        return {"printer.device": self.device, "printer.paper.upper": self.paper}

    def numbers(self) -> dict[str, Value]:
        """Its counter."""
        return {"printer.receipts": self.receipts}


class Computer:
    """The machine's PC: its software, its line to the host, its counters of transactions."""

    def __init__(self, rng: Random) -> None:
        self.running = True
        self.starting = False
        self.link = "up"
        self.vendor_mode = "inactive"
        self.keys = "ready"
        self.transactions = rng.randrange(80_000, 400_000)
        self.failed = round(self.transactions * 0.02)

    def words(self) -> dict[str, Value]:
        """What its status lines say."""
        connected = self.link if self.running and not self.starting else "down"
        return {
            "link.host": connected,
            "vendorMode.service": self.vendor_mode,
            "keyManagement.encryptionState": self.keys,
        }

    def numbers(self) -> dict[str, Value]:
        """Its counters."""
        return {"transaction.count": self.transactions, "transaction.failed": self.failed}
