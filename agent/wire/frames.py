"""What the codecs of devices that are asked have in common: an answer is there, or not yet, or it is wrong."""

from __future__ import annotations

from typing import Literal, TypeAlias

Counter: TypeAlias = Literal["crcErrors", "garbageBytes", "unknown"]


class BadFrame(ValueError):
    """What came can never become the answer. `counter` is the counter of the line that says so, `size` by how much it grows.

    crcErrors      the check sum is wrong
    garbageBytes   it is no frame; `size` is the number of its bytes
    unknown        an intact frame that is no answer to this request, or says what the protocol does not know
    """

    def __init__(self, counter: Counter, size: int = 1) -> None:
        super().__init__(counter)
        self.counter = counter
        self.size = size
