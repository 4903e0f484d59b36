"""The client's end of RFC 2217 (Telnet Com Port Control Option): bytes in, bytes out, no I/O.

It tells a serial device server the line's settings and takes the telnet commands out of what the server sends. Telnet itself
is RFC 854 and 855; BINARY is RFC 856, SUPPRESS-GO-AHEAD RFC 858.
"""

from __future__ import annotations

from agent.sources.ports import LineSettings

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
BINARY, SUPPRESS_GO_AHEAD, COM_PORT = 0, 3, 44
SET_BAUDRATE, SET_DATASIZE, SET_PARITY, SET_STOPSIZE, SET_CONTROL = 1, 2, 3, 4, 5  # RFC 2217, section 3
SERVER = 100  # added to a command, it names the server's answer
PARITY = {"none": 1, "odd": 2, "even": 3, "mark": 4, "space": 5}
NO_FLOW_CONTROL, DTR_ON, DTR_OFF, RTS_ON, RTS_OFF = 1, 8, 9, 11, 12  # values of SET-CONTROL
NAMES = {SET_BAUDRATE: "speed", SET_DATASIZE: "data bits", SET_PARITY: "parity", SET_STOPSIZE: "stop bits"}
MAX_SUBNEGOTIATION = 64  # bytes; the longest that means anything to us has 6


class Rfc2217:
    """One connection. Send `opening()`, feed what arrives to `received`; the line is usable once `settled` is true."""

    def __init__(self, settings: LineSettings) -> None:
        self.refused = ""  # why the line is not as it should be, once the server has said so
        self._wanted = {
            SET_BAUDRATE: settings.baud.to_bytes(4, "big"),
            SET_DATASIZE: bytes((settings.data_bits,)),
            SET_PARITY: bytes((PARITY[settings.parity],)),
            SET_STOPSIZE: bytes((settings.stop_bits,)),
        }
        controls = (NO_FLOW_CONTROL, DTR_ON if settings.dtr else DTR_OFF, RTS_ON if settings.rts else RTS_OFF)
        self._settings = b"".join(_command(key, value) for key, value in self._wanted.items())
        self._settings += b"".join(_command(SET_CONTROL, bytes((control,))) for control in controls)
        self._open = set(self._wanted)
        self._agreed: set[tuple[int, int]] = set()  # each is answered once, or two polite ends would never stop
        self._ours = {(DO, BINARY), (WILL, BINARY), (DO, SUPPRESS_GO_AHEAD), (WILL, SUPPRESS_GO_AHEAD)}
        self._held = b""  # a telnet command whose end is still to come

    @property
    def settled(self) -> bool:
        """True once the server has confirmed speed and character."""
        return not self._open

    def opening(self) -> bytes:
        """What the client says first."""
        offers = ((WILL, BINARY), (DO, BINARY), (WILL, SUPPRESS_GO_AHEAD), (DO, SUPPRESS_GO_AHEAD), (WILL, COM_PORT))
        return b"".join(bytes((IAC, *offer)) for offer in offers)

    def escaped(self, data: bytes) -> bytes:
        """Data as it travels: a byte FF is doubled."""
        return data.replace(b"\xff", b"\xff\xff")

    def received(self, chunk: bytes) -> tuple[bytes, bytes]:
        """The line's own bytes out of what arrived, and what to answer. Any chunking gives the same."""
        if not self._held and IAC not in chunk:
            return chunk, b""
        stream = self._held + chunk
        data, answer = bytearray(), bytearray()
        at = 0
        while (found := stream.find(IAC, at)) >= 0:
            data += stream[at:found]
            end = _end(stream, found)
            if end is None:
                at = found
                break
            if stream[found + 1] == IAC:
                data.append(IAC)
            else:
                answer += self._heard(stream[found:end])
            at = end
        else:
            data += stream[at:]
            at = len(stream)
        self._held = stream[at:]
        return bytes(data), bytes(answer)

    def _heard(self, command: bytes) -> bytes:
        """The answer to one whole telnet command."""
        if command[1] == SB:
            self._told_by_server(command[2:-2].replace(b"\xff\xff", b"\xff"))
            return b""
        if command[1] in (DO, DONT, WILL, WONT):
            return self._negotiated(command[1], command[2])
        return b""  # NOP, data mark, break and the like mean nothing here

    def _negotiated(self, verb: int, option: int) -> bytes:
        if (verb, option) == (DONT, COM_PORT):
            self.refused = "it does not take line settings (RFC 2217 refused); set the line there and use socket://"
        if option == COM_PORT and verb in (DO, WILL) and (verb, option) not in self._agreed:
            self._agreed.add((verb, option))
            return self._settings if verb == DO else bytes((IAC, DO, COM_PORT))
        if option == COM_PORT or (verb, option) in self._ours or verb in (DONT, WONT):
            return b""  # the answer to our own offer, or to nothing that we do
        return bytes((IAC, WONT if verb == DO else DONT, option))

    def _told_by_server(self, body: bytes) -> None:
        """RFC 2217, section 3: the server answers each setting with the value that it now uses."""
        if len(body) < 3 or body[0] != COM_PORT:
            return
        setting, value = body[1] - SERVER, body[2:]
        if setting not in self._wanted:
            return  # states of modem and line, which nobody asked for
        self._open.discard(setting)
        if value != self._wanted[setting]:
            set_, wanted = int.from_bytes(value, "big"), int.from_bytes(self._wanted[setting], "big")
            self.refused = f"it set {NAMES[setting]} to {set_} where {wanted} was asked (codes of RFC 2217)"


def _command(setting: int, value: bytes) -> bytes:
    return bytes((IAC, SB, COM_PORT, setting)) + value.replace(b"\xff", b"\xff\xff") + bytes((IAC, SE))


def _end(stream: bytes, start: int) -> int | None:
    """Where the telnet command that starts at `start` ends; None while its end is still to come."""
    if start + 1 >= len(stream):
        return None
    if stream[start + 1] in (DO, DONT, WILL, WONT):
        return start + 3 if start + 3 <= len(stream) else None
    if stream[start + 1] != SB:
        return start + 2
    at = start + 2
    while (found := stream.find(IAC, at)) >= 0 and found + 1 < len(stream):
        if stream[found + 1] == SE:
            return found + 2
        at = found + 2
    return None if len(stream) - start < MAX_SUBNEGOTIATION else start + 2
