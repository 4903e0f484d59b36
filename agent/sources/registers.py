"""Registers of a Modbus device: where each value stands, how it is written there, and what it tells."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import yaml

from agent.records import Value
from agent.vocabulary import nearest, point
from agent.wire.modbus import COUNT_LIMIT, HOLDING, INPUT

MAPS = Path(__file__).with_name("register_maps.yaml")

Kind: TypeAlias = Literal["int16", "uint16", "int32", "uint32", "float32", "int64", "uint64", "float64"]
Order: TypeAlias = Literal["abcd", "cdab", "badc", "dcba"]
_FORMS = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "float32": ">f",
    "int64": ">q",
    "uint64": ">Q",
    "float64": ">d",
}


@dataclass(frozen=True, kw_only=True)
class Register:
    """One value of a device."""

    point: str
    address: int
    """As it travels: 0 is the first. A document that counts from 30001 or 40001 means 0 by it."""
    table: Literal["input", "holding"] = "input"
    type: Kind = "int16"
    order: Order = "abcd"
    """abcd: as Modbus has it, the high byte and register first; cdab: the low register first; badc, dcba: bytes swapped."""
    scale: float = 1.0
    offset: float = 0.0
    bit: int = -1
    """One bit of the register, 0 the lowest; -1: all of it."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Number -> the point's word."""
    unusable: tuple[int, ...] = ()
    """Numbers by which the device says that it has no value."""

    def __post_init__(self) -> None:
        entry = point(self.point)
        if entry is None:
            near = nearest(self.point)
            raise ValueError(f"point: no point is called {self.point!r}" + (f"; did you mean {near}?" if near else ""))
        if not 0 <= self.address <= 0x10000 - self.count:
            raise ValueError(f"address: expected 0 to {0x10000 - self.count}; 30001 and 40001 of a document are 0 here")
        if bool(entry.words) != bool(self.words):
            has = (
                f"says words ({', '.join(entry.words)}); give each number its word"
                if entry.words
                else "is a number; leave this out"
            )
            raise ValueError(f"words: {self.point} {has}")
        for said, word in self.words.items():
            if word not in entry.words:
                raise ValueError(f"words.{said}: {self.point} has no word {word!r}; it has {', '.join(entry.words)}")
        if self.scale == 0.0 or not isfinite(self.scale) or not isfinite(self.offset):
            raise ValueError("scale: expected a number other than 0")
        if not -1 <= self.bit < 16 * self.count or (self.bit >= 0 and self.type.startswith("float")):
            raise ValueError(f"bit: expected 0 to {16 * self.count - 1} of a whole number, or -1")

    @property
    def count(self) -> int:
        """Registers that it takes."""
        return struct.calcsize(_FORMS[self.type]) // 2

    @property
    def function(self) -> int:
        """That reads it."""
        return INPUT if self.table == "input" else HOLDING

    def value(self, data: bytes) -> Value:
        """The value out of its own registers; None when the device has none."""
        if self.order in ("badc", "dcba"):
            data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
        if self.order in ("cdab", "dcba"):
            data = b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))
        (number,) = struct.unpack(_FORMS[self.type], data)
        if number in self.unusable or not isfinite(number):
            return None
        if self.bit >= 0:
            number = number >> self.bit & 1
        if self.words:
            return self.words.get(str(number), _NO_WORD)
        if self.type == "float32":
            number = float(f"{number:.7g}")  # it has no more digits
        return float(f"{number * self.scale + self.offset:.12g}")  # 305 × 0.1 is 30.5


_NO_WORD = "?"  # of no point: the Reading says that it is unknown


class Block(NamedTuple):
    """Registers that are read at once."""

    function: int
    address: int
    size: int
    registers: tuple[Register, ...]

    def values(self, data: bytes) -> dict[str, Value]:
        """Point -> value out of the block's bytes."""
        values: dict[str, Value] = {}
        for each in self.registers:
            at = 2 * (each.address - self.address)
            values[each.point] = each.value(data[at : at + 2 * each.count])
        return values


def blocks(registers: Sequence[Register], gap: int) -> tuple[Block, ...]:
    """As few reads as may be, none of them over more than `gap` registers that nobody asked for."""
    found: list[Block] = []
    for each in sorted(registers, key=lambda one: (one.function, one.address)):
        last = found[-1] if found else None
        if last is not None and last.function == each.function and each.address - last.address - last.size <= gap:
            size = max(last.size, each.address + each.count - last.address)
            if size <= COUNT_LIMIT:
                found[-1] = last._replace(size=size, registers=(*last.registers, each))
                continue
        found.append(Block(each.function, each.address, each.count, (each,)))
    return tuple(found)


class RegisterMap(NamedTuple):
    """The registers of one kind of device."""

    registers: tuple[Register, ...]
    gap: int


@cache
def shipped() -> dict[str, RegisterMap]:
    """The maps that come with the agent, by name."""
    maps = yaml.safe_load(MAPS.read_text())
    return {
        name: RegisterMap(tuple(Register(**each) for each in body["registers"]), body.get("gap", 0))
        for name, body in maps.items()
    }
