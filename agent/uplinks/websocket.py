"""WebSocket (RFC 6455) as a client needs it for MQTT: the handshake's bytes, frames, and a socket that speaks in them. No I/O
of its own beside what is asked of it, no extension, one subprotocol.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import socket
from typing import Any

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MAX_FRAME = 64 * 1024  # bytes of a frame from the server, which has nothing long to tell
MAX_HEADER = 8 * 1024  # bytes of the server's answer to the handshake
CHUNK = 16 * 1024


class HandshakeRefused(ValueError):
    """The answer is none of a WebSocket server that speaks MQTT. The message says what was expected."""


def request(host: str, path: str, key: bytes) -> bytes:
    """The client's half of the handshake (4.1). `key` has 16 random bytes, `host` the port where it is not the usual one."""
    return (
        f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(key).decode()}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    ).encode()


def check_answer(header: bytes, key: bytes) -> None:
    """The server's half (4.2.2), up to the empty line. Raises HandshakeRefused, or OSError when it says that it cannot now."""
    lines = header.decode("latin-1").split("\r\n")
    status = lines[0].split(" ", 2)
    if not status[0].startswith("HTTP/") or len(status) < 2:
        raise HandshakeRefused("what answers there is no web server")
    if status[1] != "101":
        said = f"the web server answers {' '.join(status[1:])[:60]}"
        if status[1].startswith("5"):  # as one does in front of a broker that is away
            raise OSError(errno.ECONNABORTED, said)
        raise HandshakeRefused(f"{said}; check the path in `url`")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    wanted = base64.b64encode(hashlib.sha1(base64.b64encode(key) + GUID, usedforsecurity=False).digest()).decode()
    if fields.get("sec-websocket-accept") != wanted or fields.get("upgrade", "").lower() != "websocket":
        raise HandshakeRefused("the web server does not speak WebSocket on this path")
    if fields.get("sec-websocket-protocol") != "mqtt":
        raise HandshakeRefused("the WebSocket server does not speak MQTT on this path (MQTT 5, 6)")


def frame(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """One whole frame of a client (5.2), masked with four random bytes."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, 0x80 | length))
    elif length < 2**16:
        head = bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + length.to_bytes(8, "big")
    return head + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """5.3; the same again undoes it. As one whole number: a byte at a time would cost a second a megabyte."""
    length = len(payload)
    pattern = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(length, "big")


class WebSocket:
    """What paho asks of a socket, over a connected one after the handshake. Non-blocking, as that one is."""

    def __init__(self, sock: socket.socket, rest: bytes = b"") -> None:
        """`rest`: what came behind the server's answer to the handshake."""
        self.below = sock
        self._in = bytearray(rest)  # bytes of frames
        self._data = bytearray()  # what they carried
        self._out = b""
        self._claimed = 0  # bytes of the data that `_out` carries
        self._ended = False

    def fileno(self) -> int:
        return self.below.fileno()

    def close(self) -> None:
        self.below.close()

    def setblocking(self, flag: bool) -> None:
        self.below.setblocking(flag)

    def pending(self) -> int:
        """Bytes that can be had though the socket below shows none."""
        held: Any = getattr(self.below, "pending", None)
        return len(self._data) + (held() if held is not None else 0)

    def send(self, data: bytes | bytearray) -> int:
        """All of the data or nothing: raises BlockingIOError until all of it is gone; it is called again with the same."""
        if not self._out:
            self._out = frame(BINARY, bytes(data), os.urandom(4))
            self._claimed = len(data)
        self._out = self._out[self.below.send(self._out) :]
        if self._out:
            raise BlockingIOError
        return self._claimed

    def recv(self, length: int) -> bytes:
        """Bytes that frames carried; empty when the other end has closed. Raises OSError as a socket does."""
        while not self._data and not self._ended:
            self._unwrap()
            if self._data or self._ended:
                break
            chunk = self.below.recv(CHUNK)
            self._ended = not chunk
            self._in += chunk
        taken = bytes(self._data[:length])
        del self._data[:length]
        return taken

    def _unwrap(self) -> None:
        while (found := self._whole_frame()) is not None:
            opcode, payload = found
            if opcode in (BINARY, CONTINUATION):
                self._data += payload
            elif opcode == PING and not self._out:
                self.below.send(frame(PONG, payload[:125], os.urandom(4)))
            elif opcode == CLOSE:
                self._ended = True

    def _whole_frame(self) -> tuple[int, bytes] | None:
        if len(self._in) < 2:
            return None
        length, begin = self._in[1] & 0x7F, 2
        if self._in[1] & 0x80 or self._in[0] & 0x70:
            raise ConnectionAbortedError("a frame that no WebSocket server sends")  # masked, or of an extension (5.1, 5.2)
        if length >= 126:
            begin = 4 if length == 126 else 10
            if len(self._in) < begin:
                return None
            length = int.from_bytes(self._in[2:begin], "big")
        if length > MAX_FRAME:
            raise ConnectionAbortedError("a longer frame than a broker has reason to send")
        if len(self._in) < begin + length:
            return None
        opcode, payload = self._in[0] & 0x0F, bytes(self._in[begin : begin + length])
        del self._in[: begin + length]
        return opcode, payload
