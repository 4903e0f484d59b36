"""A JCM note acceptor on its ID-003 line, and the controller that masters it."""

from __future__ import annotations

from agent.wire import id003
from agent.wire.id003 import Command, Frame, Reject, Status
from firmware_sim.deposits import acceptor
from firmware_sim.twins import Answering, Out
from firmware_sim.twins.note_line import ANSWER, Face, Look, Poller
from firmware_sim.uart import Shape
from firmware_sim.world import World

SHAPE = Shape(9600, 8, "even")
REASONS = tuple(Reject)
SHOWN: dict[Look, Status] = {
    "starting": Status.INITIALIZE, "idling": Status.IDLING, "accepting": Status.ACCEPTING, "escrow": Status.ESCROW,
    "stacking": Status.STACKING, "stacked": Status.VEND_VALID, "returning": Status.RETURNING, "rejecting": Status.REJECTING,
    "full": Status.STACKER_FULL, "open": Status.STACKER_OPEN, "jamInAcceptor": Status.JAM_IN_ACCEPTOR,
    "jamInStacker": Status.JAM_IN_STACKER, "cheated": Status.CHEATED, "failure": Status.FAILURE,
}  # fmt: skip
FAILURE_CODE = 0xA2  # the stacker's motor


class Acceptor(Answering):
    """The acceptor's end."""

    shape = SHAPE

    def __init__(self, face: Face) -> None:
        self._face = face
        self._decoder = id003.decoder()
        self._acknowledged = False  # a note was: it shows "stacked" once, before whatever comes

    def on_bytes(self, data: bytes, now: float) -> Out:
        """Questions and orders of the controller."""
        del now
        frames = self._decoder.feed(data)
        if self._face.look() == "off":
            return []
        answers = [answer for frame in frames if (answer := self._answer(frame)) is not None]
        return [(ANSWER, id003.encode(answer)) for answer in answers]

    def _answer(self, frame: Frame) -> Frame | None:
        acceptor = self._face.acceptor
        if frame.code == Command.ACK:
            if self._face.untold:
                self._face.heard()
                self._acknowledged = True
            return None
        if frame.code == Command.STATUS_REQUEST:
            return self.status()
        if frame.code in (Command.STACK_1, Command.STACK_2):
            acceptor.stack()
        elif frame.code == Command.RETURN:
            acceptor.give_back()
        elif Command.DENOMINATIONS <= frame.code <= Command.OPTIONS:
            return frame
        return Frame(Command.ACK)

    def status(self) -> Frame:
        """What it says when it is asked."""
        if self._acknowledged:
            self._acknowledged = False
            return Frame(Status.STACKED)
        status = SHOWN[self._face.look()]
        acceptor = self._face.acceptor
        if status is Status.ESCROW:
            return Frame(status, bytes((0x60 + acceptor.denomination,)))
        if status is Status.REJECTING:
            return Frame(status, bytes((REASONS[acceptor.reason % len(REASONS)],)))
        return Frame(status, bytes((FAILURE_CODE,)) if status is Status.FAILURE else b"")


class Controller(Poller):
    """The machine's end: it polls, stacks what is in escrow and acknowledges what is in the stacker."""

    shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        self._decoder = id003.decoder()

    def tick(self, now: float) -> Out:
        """Ask."""
        return [(0.0, id003.encode(Frame(Command.STATUS_REQUEST)))] if self.due(now) else []

    def on_bytes(self, data: bytes, now: float) -> Out:
        """What the acceptor says."""
        del now
        said = {Status.ESCROW: Command.STACK_1, Status.VEND_VALID: Command.ACK}
        orders = [said[frame.code] for frame in self._decoder.feed(data) if frame.code in said]  # type: ignore[index]
        return [(ANSWER, id003.encode(Frame(order))) for order in orders]


def twin(world: World) -> Acceptor:
    """The acceptor of a world."""
    return Acceptor(Face(acceptor(world.site)))


def controller(world: World) -> Controller:
    """Who masters its line."""
    del world
    return Controller()
