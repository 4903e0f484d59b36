"""The sensor board on a serial line: the board link of docs/board-link.md.

It asks the board to introduce itself (HELLO) and acknowledges EVENTs (ACK) once they are on disk. Nothing else ever leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from random import Random

from agent.settings import Duration
from agent.sources import Context, Given, Position
from agent.sources.board_link import BoardLink, may_send
from agent.sources.board_values import BoardValues
from agent.sources.line import Line, Opened
from agent.sources.ports import LineSettings
from agent.vocabulary import nearest, point
from agent.wire.board_points import FIRST_OWN


@dataclass(frozen=True, kw_only=True)
class Settings(LineSettings):
    """A board: its line, and the names of points that its maker numbered."""

    points: Mapping[str, str] = field(default_factory=dict)
    """Number (1000 and above) -> point of the vocabulary, as in 1000: auxiliaries.contact.lid."""
    silent_after: Duration = 15.0
    """Without an intact frame for so long the source is `silent`. A board says something at least every 5 s."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1.0 <= self.silent_after <= 86_400.0:
            raise ValueError("silent_after: expected 1s to 1d; a board says something at least every 5 s")
        names: dict[str, str] = {}
        for code, name in self.points.items():
            if not (code.isascii() and code.isdecimal() and int(code) >= FIRST_OWN):
                raise ValueError(f"points.{code}: expected a number from {FIRST_OWN} on; those below belong to the board link")
            if point(name) is None:
                hint = nearest(name)
                meant = f"did you mean {hint}?" if hint else "a contact of your own is auxiliaries.contact.NAME"
                raise ValueError(f"points.{code}: no point is called {name!r}; {meant}")
            if name in names:
                raise ValueError(f"points.{code}: {name} already has the number {names[name]}; keep one")
            names[name] = code

    @property
    def own(self) -> dict[int, str]:
        """`points` by number."""
        return {int(code): name for code, name in self.points.items()}


class BoardSource:
    """One board. See `Source` for when its methods are called."""

    def __init__(
        self,
        context: Context,
        settings: Settings,
        rng: Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.name = context.name
        self._context = context
        self._settings = settings
        self._line = Line(settings, may_send, rng, sleep)
        self._link: BoardLink | None = None

    @property
    def identity(self) -> str:
        """The name and the firmware of its HELLO."""
        return self._link.identity if self._link is not None else ""

    async def read(self, position: Position | None) -> AsyncGenerator[Given]:
        """Whatever the board says, and the state of its line."""
        settings, now = self._settings, self._context.now
        values = BoardValues(self.name, self._context.machine, settings.own)
        link = self._link = BoardLink(self._context, values, self._line.write, settings.silent_after, settings.line, position)
        loop = asyncio.get_running_loop()
        async with aclosing(self._line.arrivals()) as arrivals:
            async for arrival in arrivals:
                if isinstance(arrival, bytes):
                    given = link.received(arrival, now(), loop.time())
                elif isinstance(arrival, Opened):
                    given = link.opened(arrival.again, now(), loop.time())
                else:
                    given = link.lost(arrival.word, str(arrival), now(), loop.time())
                for each in given:
                    yield each

    def acknowledge(self, position: Position) -> None:
        """The EVENT of `position` is on disk: tell the board."""
        if self._link is not None:
            self._link.acknowledge(position)


def open_source(context: Context, settings: Settings) -> BoardSource:
    """A board as configured. Touches no hardware."""
    return BoardSource(context, settings)
