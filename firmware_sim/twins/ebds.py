"""An MEI note acceptor on its EBDS line, and the controller that masters it."""

from __future__ import annotations

from agent.wire import ebds
from agent.wire.ebds import Frame, FrameType, Reply
from firmware_sim.deposits import acceptor
from firmware_sim.twins import Answering, Out
from firmware_sim.twins.note_line import ANSWER, Face, Look, Poller
from firmware_sim.uart import Shape
from firmware_sim.world import World

SHAPE = Shape(9600, 7, "even")
SHOWN: dict[Look, Reply] = {
    "starting": Reply.POWER_UP | Reply.IDLING, "idling": Reply.IDLING, "accepting": Reply.ACCEPTING, "escrow": Reply.ESCROWED,
    "stacking": Reply.STACKING, "stacked": Reply.STACKED | Reply.IDLING, "returning": Reply.RETURNING,
    "rejecting": Reply.REJECTED | Reply.IDLING, "full": Reply.STACKER_FULL | Reply.IDLING, "open": Reply(0),
    "jamInAcceptor": Reply.JAMMED, "jamInStacker": Reply.JAMMED, "cheated": Reply.CHEATED | Reply.IDLING,
    "failure": Reply.FAILURE,
}  # fmt: skip
ESCROW_MODE, STACK, RETURN = 1 << 4, 1 << 5, 1 << 6  # of the second byte of a command
ENABLE_ALL, NO_EXTENSIONS = 0x7F, 0x10


class Acceptor(Answering):
    """The acceptor's end. A command whose ack bit has not changed is the same again, and gets the same reply."""

    shape = SHAPE

    def __init__(self, face: Face) -> None:
        self._face = face
        self._decoder = ebds.decoder()
        self._last: tuple[int, Frame] | None = None  # the ack bit of the last command, and the reply
        self._note = False  # a note is on its way into the stacker, as far as was told

    def on_bytes(self, data: bytes, now: float) -> Out:
        """Commands of the controller."""
        del now
        frames = self._decoder.feed(data)
        if self._face.look() == "off":
            return []
        return [(ANSWER, ebds.encode(self._reply(frame))) for frame in frames if frame.type is FrameType.COMMAND]

    def _reply(self, command: Frame) -> Frame:
        if self._last is not None and self._last[0] == command.ack:
            return self._last[1]
        if command.data[1] & STACK:
            self._face.acceptor.stack()
        elif command.data[1] & RETURN:
            self._face.acceptor.give_back()
        reply = Frame(FrameType.REPLY, command.ack, ebds.reply(self.flags()))
        self._last = (command.ack, reply)
        return reply

    def flags(self) -> Reply:
        """What it says when it is asked."""
        look = self._face.look()
        if look == "stacked":
            if not self._note:
                self._note = True
                return Reply.STACKING | Reply.CASSETTE_ATTACHED  # in a hurry, notes follow each other without a word between
            self._face.heard()  # the next command, with its other ack bit, says that this was heard
            self._note = False
        elif look in ("escrow", "stacking"):
            self._note = True
        flags = SHOWN[look]
        if look in ("escrow", "stacked"):
            flags |= Reply(self._face.acceptor.denomination << 17)
        return flags if look == "open" else flags | Reply.CASSETTE_ATTACHED


class Controller(Poller):
    """The machine's end: its command is poll and order at once."""

    shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        self._decoder = ebds.decoder()
        self._ack = 0
        self._answered = True
        self._order = 0

    def tick(self, now: float) -> Out:
        """Ask; the same again when nothing intact came."""
        if not self.due(now):
            return []
        if self._answered:
            self._ack ^= 1
        self._answered = False
        data = bytes((ENABLE_ALL, 0b1100 | ESCROW_MODE | self._order, NO_EXTENSIONS))
        return [(0.0, ebds.encode(Frame(FrameType.COMMAND, self._ack, data)))]

    def on_bytes(self, data: bytes, now: float) -> Out:
        """What the acceptor says."""
        del now
        for frame in self._decoder.feed(data):
            if frame.type is FrameType.REPLY and frame.ack == self._ack:
                self._answered = True
                self._order = STACK if ebds.flags(frame.data) & Reply.ESCROWED else 0
        return []


def twin(world: World) -> Acceptor:
    """The acceptor of a world."""
    return Acceptor(Face(acceptor(world.site)))


def controller(world: World) -> Controller:
    """Who masters its line."""
    del world
    return Controller()
