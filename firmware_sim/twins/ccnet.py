"""A CashCode note acceptor on its CCNET line, and the controller that masters it."""

from __future__ import annotations

from agent.wire import ccnet
from agent.wire.ccnet import Command, Failure, Frame, State
from firmware_sim.deposits import acceptor
from firmware_sim.twins import Answering, Out
from firmware_sim.twins.note_line import ANSWER, Face, Look, Poller
from firmware_sim.uart import Shape
from firmware_sim.world import World

SHAPE = Shape(9600)
SHOWN: dict[Look, State] = {
    "starting": State.INITIALIZE, "idling": State.IDLING, "accepting": State.ACCEPTING, "escrow": State.ESCROW,
    "stacking": State.STACKING, "stacked": State.STACKED, "returning": State.RETURNING, "rejecting": State.REJECTING,
    "full": State.DROP_CASSETTE_FULL, "open": State.DROP_CASSETTE_OUT_OF_POSITION, "jamInAcceptor": State.VALIDATOR_JAMMED,
    "jamInStacker": State.DROP_CASSETTE_JAMMED, "cheated": State.CHEATED, "failure": State.FAILURE,
}  # fmt: skip
FIRST_REASON = 0x60  # of a rejection
IDENTIFICATION = b"SM-RU1357      21KC20003001" + bytes(7)  # part number, serial number, asset number


class Acceptor(Answering):
    """The acceptor's end."""

    shape = SHAPE

    def __init__(self, face: Face) -> None:
        self._face = face
        self._decoder = ccnet.decoder()
        self._telling = False  # the last state told of a note in the stacker; the next ACK says that it was heard
        self._between = False  # two notes in a row are two states apart

    def on_bytes(self, data: bytes, now: float) -> Out:
        """Questions and orders of the controller."""
        del now
        frames = self._decoder.feed(data)
        if self._face.look() == "off":
            return []
        return [(ANSWER, ccnet.encode(answer)) for frame in frames if (answer := self._answer(frame)) is not None]

    def _answer(self, frame: Frame) -> Frame | None:
        if frame.code == Command.ACK:
            if self._telling:
                self._face.heard()
                self._telling, self._between = False, True
            return None
        if frame.code == Command.POLL:
            return self.state()
        if frame.code == Command.STACK:
            self._face.acceptor.stack()
        elif frame.code == Command.RETURN:
            self._face.acceptor.give_back()
        elif frame.code == Command.IDENTIFICATION:
            return Frame(IDENTIFICATION[0], IDENTIFICATION[1:])
        return None if frame.code == Command.NAK else Frame(Command.ACK)

    def state(self) -> Frame:
        """What it says when it is polled."""
        between, self._between = self._between, False
        state = State.IDLING if between else SHOWN[self._face.look()]
        self._telling = state is State.STACKED
        acceptor = self._face.acceptor
        if state in (State.ESCROW, State.STACKED):
            return Frame(state, bytes((acceptor.denomination,)))
        if state is State.REJECTING:
            return Frame(state, bytes((FIRST_REASON + acceptor.reason,)))
        return Frame(state, bytes((Failure.STACK_MOTOR,)) if state is State.FAILURE else b"")


class Controller(Poller):
    """The machine's end: it polls, acknowledges every state and stacks what is in escrow."""

    shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        self._decoder = ccnet.decoder()

    def tick(self, now: float) -> Out:
        """Ask."""
        return [(0.0, ccnet.encode(Frame(Command.POLL)))] if self.due(now) else []

    def on_bytes(self, data: bytes, now: float) -> Out:
        """What the acceptor says."""
        del now
        out: Out = []
        for frame in self._decoder.feed(data):
            if frame.code != Command.ACK:
                out.append((ANSWER, ccnet.encode(Frame(Command.ACK))))
            if frame.code == State.ESCROW:
                out.append((3 * ANSWER, ccnet.encode(Frame(Command.STACK))))
        return out


def twin(world: World) -> Acceptor:
    """The acceptor of a world."""
    return Acceptor(Face(acceptor(world.site)))


def controller(world: World) -> Controller:
    """Who masters its line."""
    del world
    return Controller()
