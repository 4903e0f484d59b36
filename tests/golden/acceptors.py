"""Writes acceptors.json: frames of note acceptors, computed from their documents and nothing of the agent.

    python tests/golden/acceptors.py > tests/golden/acceptors.json

The check sums are made bit by bit, so that a mistake of the codecs under test cannot repeat itself here. Frames marked
`published` stand in the makers' documents or in working drivers, and are only checked.
"""

from __future__ import annotations

import json
import sys


def kermit(data: bytes) -> bytes:
    """CRC-16/KERMIT one bit at a time, low byte first."""
    register = 0
    for byte in data:
        for bit in range(8):
            carry = (register ^ byte >> bit) & 1
            register = register >> 1 ^ (0x8408 if carry else 0)
    return bytes((register & 0xFF, register >> 8))


def id003(code: int, data: str = "") -> str:
    """FC, length of everything, code, data, check."""
    said = bytes((0xFC, 5 + len(bytes.fromhex(data)), code)) + bytes.fromhex(data)
    return (said + kermit(said)).hex()


def ccnet(code: int, data: str = "") -> str:
    """02, 03, length of everything, code, data, check."""
    said = bytes((0x02, 0x03, 6 + len(bytes.fromhex(data)), code)) + bytes.fromhex(data)
    return (said + kermit(said)).hex()


def ebds(type_: int, ack: int, data: str) -> str:
    """02, length of everything, type and ack, data, 03, XOR of what stands between."""
    said = bytes((5 + len(bytes.fromhex(data)), type_ << 4 | ack)) + bytes.fromhex(data)
    check = 0
    for byte in said:
        check ^= byte
    return (b"\x02" + said + b"\x03" + bytes((check,))).hex()


ID003 = {
    "status": (0x11, ""), "reset": (0x40, ""), "ACK": (0x50, ""), "un-inhibit": (0xC3, "00"),
    "escrow denomination 4": (0x13, "64"),
    "stacker full": (0x43, ""), "reject insertion": (0x17, "71"), "failure A2": (0x49, "a2"), "stack-1": (0x41, ""),
    "return": (0x43, ""), "accepting": (0x12, ""), "stacking": (0x14, ""), "vend valid": (0x15, ""), "stacked": (0x16, ""),
    "returning": (0x18, ""), "holding": (0x19, ""), "disabled": (0x1A, ""), "initialize": (0x1B, ""), "power up": (0x40, ""),
    "stacker open": (0x44, ""), "jam in acceptor": (0x45, ""), "jam in stacker": (0x46, ""), "pause": (0x47, ""),
    "cheated": (0x48, ""), "comm error": (0x4A, ""), "invalid command": (0x4B, ""), "bar code": (0x13, "6f3132333435"),
    "denominations": (0xC0, "0000"), "version": (0x88, "494433"),
}  # fmt: skip
ID003_PUBLISHED = {
    "status": "fc05112756", "reset": "fc05402b15", "ACK": "fc0550aa05", "un-inhibit": "fc06c30004d6",
    "escrow denomination 4": "fc0613641dac", "stacker full": "fc0543b027", "reject insertion": "fc061771518c",
    "failure A2": "fc0649a2a021",
}  # fmt: skip
CCNET = {
    "poll": (0x33, ""), "ack": (0x00, ""), "idling": (0x14, ""), "power up": (0x10, ""), "initialize": (0x13, ""),
    "accepting": (0x15, ""), "stacking": (0x17, ""), "returning": (0x18, ""), "unit disabled": (0x19, ""), "holding": (0x1A, ""),
    "busy": (0x1B, "0a"), "rejecting insertion": (0x1C, "60"), "drop cassette full": (0x41, ""),
    "drop cassette out of position": (0x42, ""), "validator jammed": (0x43, ""), "drop cassette jammed": (0x44, ""),
    "cheated": (0x45, ""), "pause": (0x46, ""), "failed stack motor": (0x47, "50"), "escrow of type 3": (0x80, "03"),
    "stacked type 3": (0x81, "03"), "returned type 3": (0x82, "03"), "reset": (0x30, ""), "enable": (0x34, "fffffffffff0"),
    "stack": (0x35, ""), "return": (0x36, ""), "nak": (0xFF, ""),
}  # fmt: skip
CCNET_PUBLISHED = {"poll": "02030633da81", "ack": "02030600c282", "idling": "0203061467d4"}
EBDS = {
    "poll": (1, 0, "7f1c10"), "next poll": (1, 1, "7f1c10"), "idle": (2, 0, "011000005415"),
    "stacker full": (2, 1, "011800005415"),
    "accepting": (2, 0, "021000005415"), "escrowed value 3": (2, 1, "041018005415"), "stacking": (2, 0, "081018005415"),
    "stacked value 3": (2, 1, "111018005415"), "returned": (2, 0, "411000005415"), "cheated": (2, 1, "011100005415"),
    "rejected": (2, 0, "011200005415"), "jammed": (2, 1, "001400005415"), "cassette removed": (2, 0, "000000005415"),
    "paused": (2, 1, "013000005415"), "calibrating": (2, 0, "005000005415"), "power up": (2, 1, "001001005415"),
    "failure": (2, 0, "001004005415"), "transport open": (2, 1, "001040005415"), "disabled": (2, 0, "011000205415"),
    "serial number asked": (6, 0, "000005"),
}  # fmt: skip
EBDS_PUBLISHED = {
    "poll": "0208107f1c10036b", "next poll": "0208117f1c10036a", "idle": "020b20011000005415037b",
    "stacker full": "020b210118000054150372",
}  # fmt: skip


def main() -> None:
    """Print them."""
    coded = {"id003": (id003, ID003, ID003_PUBLISHED), "ccnet": (ccnet, CCNET, CCNET_PUBLISHED)}
    found: dict[str, list[dict[str, object]]] = {}
    for protocol, (line, frames, published) in coded.items():
        found[protocol] = [
            {"name": name, "code": code, "data": data, "line": line(code, data), "published": name in published}
            for name, (code, data) in frames.items()
        ]
        assert all(line(*frames[name]) == known for name, known in published.items()), protocol
    found["ebds"] = [
        {
            "name": name,
            "type": type_,
            "ack": ack,
            "data": data,
            "line": ebds(type_, ack, data),
            "published": name in EBDS_PUBLISHED,
        }
        for name, (type_, ack, data) in EBDS.items()
    ]
    assert all(ebds(*EBDS[name]) == known for name, known in EBDS_PUBLISHED.items())
    text = {protocol: ",\n    ".join(map(json.dumps, frames)) for protocol, frames in found.items()}
    sys.stdout.write("{\n" + ",\n".join(f'  "{protocol}": [\n    {lines}\n  ]' for protocol, lines in text.items()) + "\n}\n")


main()
