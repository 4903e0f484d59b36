"""Lines of the MDBStuff "MDB Master" adapter: what an MDB bus does, in ASCII. `BV*STATUS*JAM`, ended by CR LF.

Source: the adapter's own pages, MDB-UART-Master-Commands and "Typical External Interface Communication", and its firmware
(Arduino-MDB-UART, MDB-UART-Master), which departs from them: a device that is gone is DEVLOST, and "full" is the bit of a place.
Lines of cashless readers (CD1, CD2) may name a card; they are dropped here and looked at by nobody.
"""

from __future__ import annotations

import re
from typing import NamedTuple

FIELDS = re.compile(rb"(SYS|BV|CC|CH[12])((?:\*[\x20-\x29\x2b-\x7e]{0,40}){1,12})")
PASSED_OVER = re.compile(rb"(CD[12]|WMDIAG|DIAG)[*:].*")


class Said(NamedTuple):
    """One line: which device, what about, and the rest of its fields."""

    device: str  # SYS, BV, CC, CH1, CH2
    topic: str
    fields: tuple[str, ...]


def said(line: bytes) -> Said | None:
    """A line of the adapter; None when it is none. Raises nothing."""
    found = FIELDS.fullmatch(line)
    if found is None:
        return None
    topic, *fields = found[2].decode()[1:].split("*")
    return Said(found[1].decode(), topic, tuple(field.strip() for field in fields))


def is_passed_over(line: bytes) -> bool:
    """Whether this is a line that the adapter may say and nobody here may look at."""
    return PASSED_OVER.fullmatch(line) is not None
