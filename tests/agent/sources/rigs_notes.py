"""Rigs of note acceptors: what one says while its controller polls it, its stacker full and empty in turn."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from agent.sources import Source, ccnet, ebds, id003
from agent.sources.tap import TapSource
from agent.wire import ccnet as ccnet_wire
from agent.wire import ebds as ebds_wire
from agent.wire import id003 as id003_wire
from agent.wire.ebds import FrameType, Reply
from tests.agent.sources.rigs import LineRig, soon


class NotesRig(LineRig):
    """An acceptor whose stacker is full each second time that it speaks: a state that stays is not said again."""

    point = "storage.unit1.replenishmentStatus"
    end = b""
    numbers = range(2, 6)
    driver: Any

    def __init__(self, context, plug, loops, monkeypatch) -> None:
        super().__init__(context, plug, loops, monkeypatch)
        self._full = False

    def source(self) -> Source:
        settings = self.driver.Settings(port=str(self._plug.path), silent_after=1.0)
        return TapSource(self._context, settings, self.driver.Validator(self._context, settings), random.Random(3), soon)

    def frame(self, number: int) -> bytes:
        del number
        return self.state(full=self._full)

    def state(self, *, full: bool) -> bytes:
        raise NotImplementedError

    def talk(self, number: int) -> Any:
        self._full = not self._full
        self.say(self.frame(number))
        return "full" if self._full else "ok"

    async def drip(self, number: int) -> Any:
        self._full = not self._full
        for byte in self.frame(number):
            self.say(bytes((byte,)))
            await asyncio.sleep(0)
        return "full" if self._full else "ok"


class Id003Rig(NotesRig):
    driver = id003

    def state(self, *, full: bool) -> bytes:
        return id003_wire.encode(id003_wire.Frame(0x43 if full else 0x11))


class CcnetRig(NotesRig):
    driver = ccnet

    def state(self, *, full: bool) -> bytes:
        return ccnet_wire.encode(ccnet_wire.Frame(0x41 if full else 0x14))


class EbdsRig(NotesRig):
    """What counts is said twice."""

    driver = ebds

    def state(self, *, full: bool) -> bytes:
        flags = Reply.IDLING | Reply.CASSETTE_ATTACHED | (Reply.STACKER_FULL if full else Reply(0))
        return b"".join(ebds_wire.encode(ebds_wire.Frame(FrameType.REPLY, ack, ebds_wire.reply(flags))) for ack in (0, 1))
