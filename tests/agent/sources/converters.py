"""An analog-digital converter of the MCP3xxx kind at the other end of gpiozero's simulated SPI bus, bit by bit."""

from __future__ import annotations

from typing import Any

from gpiozero.pins.mock import MockSPIDevice

CLOCK, MOSI, MISO, SELECT = 11, 10, 9, 8  # the first SPI bus of the 40-pin header, chip select 0


class Converter(MockSPIDevice):
    """As its data sheet has it: a start bit, single-ended, three bits of channel; then one clock, a null bit, and the level."""

    def __init__(self, factory: Any, bits: int = 10) -> None:
        self.levels = [0.0] * 8  # of the supply
        self._bits = bits
        self._started = False
        super().__init__(CLOCK, MOSI, MISO, SELECT, pin_factory=factory)

    def on_start(self) -> None:
        """The chip is selected."""
        super().on_start()
        self._started = False

    def on_bit(self) -> None:
        """A clock."""
        if not self._started:
            self._started = bool(self.rx_buf[-1])
            self.rx_buf = []
        elif len(self.rx_buf) == 4:
            single_ended, *channel = self.rx_buf
            assert single_ended
            self.tx_buf = [0, 0]
            level = self.levels[channel[0] << 2 | channel[1] << 1 | channel[2]]
            self.tx_word(round(level * (2**self._bits - 1)), self._bits)
