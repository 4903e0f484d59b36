"""Writes board_link.json: frames of the board link, computed from docs/board-link.md and nothing of the agent.

    python tests/golden/board_link.py > tests/golden/board_link.json

CRC bit by bit, COBS byte by byte, CBOR by hand: slow, short, and written from the page, so that a mistake of the codec
under test cannot repeat itself here.
"""

from __future__ import annotations

import json
import struct
import sys

HELLO, READING, EVENT, HEARTBEAT, ACK = 1, 2, 3, 4, 5
BOOT = 0xA1B2C3D4


def crc(data: bytes) -> int:
    """CRC-16/CCITT-FALSE, one bit at a time."""
    register = 0xFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            carry = (register >> 15) ^ (byte >> bit & 1)
            register = register << 1 & 0xFFFF ^ (0x1021 if carry else 0)
    return register


def cobs(data: bytes) -> bytes:
    """COBS, one byte at a time: an open block is closed by a zero, by 254 bytes, or by the end."""
    done, block = b"", b""
    full = False  # the last block was closed by its length, so that no zero is meant after it
    for byte in data:
        full = False
        if byte:
            block += bytes([byte])
        if not byte or len(block) == 254:
            done += bytes([len(block) + 1]) + block
            block, full = b"", bool(byte)
    return done if full else done + bytes([len(block) + 1]) + block


def head(major: int, number: int) -> bytes:
    """The head of a CBOR item (RFC 8949, section 3): shortest form."""
    for info, size, limit in ((24, 1, 1 << 8), (25, 2, 1 << 16), (26, 4, 1 << 32), (27, 8, 1 << 64)):
        if number < 24:
            return bytes([major << 5 | number])
        if number < limit:
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise OverflowError(number)


def cbor(value: object) -> bytes:
    """Whole numbers, doubles, text, null, lists and maps."""
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(cbor(one) for one in value)
    assert isinstance(value, dict)
    return head(5, len(value)) + b"".join(cbor(key) + cbor(one) for key, one in value.items())


def frame(kind: int, seq: int, uptime: int, payload: bytes, version: int = 1) -> tuple[bytes, bytes]:
    """The data of a frame, and what stands on the line."""
    data = bytes([version, kind]) + seq.to_bytes(2, "big") + uptime.to_bytes(4, "big") + payload
    data += crc(data).to_bytes(2, "big")
    return data, cobs(data) + b"\0"


def good(name: str, kind: int, seq: int, uptime: int, payload: dict[int, object]) -> dict[str, object]:
    """A frame that both ends of the codec must agree with."""
    data, line = frame(kind, seq, uptime, cbor(payload))
    return {
        "name": name, "type": kind, "seq": seq, "uptime": uptime, "payload": payload,
        "data": data.hex(), "line": line.hex(),
    }  # fmt: skip


def other_forms() -> list[dict[str, object]]:
    """Frames that a board may send though our encoder never would."""
    half = bytes.fromhex("a2 01 1a a1b2c3d4 02 a1 18 19 f9 4d60")  # 21.5 as a half float
    single = bytes.fromhex("a2 01 1a a1b2c3d4 02 a1 18 19 fa 41ac0000")  # 21.5 as a single float
    keys = bytes.fromhex("a3 01 1a a1b2c3d4 02 a1 01 64 6f70656e 18 63 01")  # key 99 is not known yet
    return [
        {"name": "half float", "seq": 5, "payload": {1: BOOT, 2: {25: 21.5}}, "line": frame(READING, 5, 9, half)[1].hex()},
        {"name": "single float", "seq": 6, "payload": {1: BOOT, 2: {25: 21.5}}, "line": frame(READING, 6, 9, single)[1].hex()},
        {"name": "unknown key", "seq": 7, "payload": {1: BOOT, 2: {1: "open"}, 99: 1}, "line": frame(EVENT, 7, 9, keys)[1].hex()},
    ]  # fmt: skip


def refused() -> list[dict[str, object]]:
    """What is no frame, and the counter of the receiver that says so."""
    data, line = frame(READING, 1, 1, cbor({1: BOOT}))
    flipped = cobs(data[:-1] + bytes([data[-1] ^ 1])) + b"\0"
    shapes = {
        "version 2": frame(READING, 1, 1, cbor({1: BOOT}), version=2),
        "type 9": frame(9, 1, 1, cbor({1: BOOT})),
        "payload is a list": frame(READING, 1, 1, cbor([1])),
        "text as a key": frame(READING, 1, 1, b"\xa1\x61\x61\x01"),
        "the same key twice": frame(READING, 1, 1, b"\xa2\x01\x01\x01\x02"),
        "a map without an end": frame(READING, 1, 1, b"\xbf\x01\x01\xff"),
    }
    return [
        {"name": "one bit of the CRC", "line": flipped.hex(), "counter": "crc_errors", "grows": 1},
        {"name": "a torn frame", "line": line[:-4].hex() + "00", "counter": "garbage_bytes", "grows": len(line) - 3},
        {"name": "less than a header", "line": cobs(b"\1\2\3").hex() + "00", "counter": "garbage_bytes", "grows": 5},
        *({"name": name, "line": one[1].hex(), "counter": "unknown", "grows": 1} for name, one in shapes.items()),
    ]


def main() -> None:
    """Print everything."""
    runs = [bytes(1 + at % 255 for at in range(length)) for length in (1, 253, 254, 255, 256, 508, 509)]
    plain = [b"", b"\0", b"\0\0", bytes.fromhex("11220033"), bytes.fromhex("11000000"), *runs]
    plain += [runs[2] + b"\0", b"\0" + runs[2], runs[3] + b"\0" + runs[2]]
    long = {code: f"a word that fills the line {code:03d}" for code in range(1000, 1022)}
    frames = [
        good("gateway HELLO", HELLO, 0, 0, {}),
        good("board HELLO", HELLO, 0, 12, {1: BOOT, 3: "1.0.2", 4: "B-0042", 5: [1, 2, 25, 64], 6: 5}),
        good("READING", READING, 1, 1000, {1: BOOT, 2: {1: "closed", 25: 21.5, 64: None, 55: 169658}}),
        good("EVENT", EVENT, 7, 123456, {1: BOOT, 2: {1: "open"}}),
        good("HEARTBEAT", HEARTBEAT, 2, 5012, {1: BOOT, 7: 1, 8: 0}),
        good("ACK", ACK, 7, 0, {1: BOOT}),
        good("last seq, last uptime", EVENT, 65535, 2**32 - 1, {1: BOOT, 2: {2: "open", 3: "on"}}),
        good("blocks of 254", READING, 258, 65793, {1: BOOT, 2: dict(long)}),
    ]
    json.dump(
        {
            "crc": [["313233343536373839", "29b1"], ["", "ffff"]],
            "cobs": [[one.hex(), cobs(one).hex()] for one in plain],
            "frames": frames,
            "other_forms": other_forms(),
            "refused": refused(),
        },
        sys.stdout,
        indent=1,
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
