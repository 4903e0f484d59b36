"""A recorded session as a source (`agent.stages.session`): what was heard once is said again, at any speed.

It is stamped with today's time: the session's first moment is now, and the others follow as they did, `speed` times as fast.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from stat import S_ISREG
from typing import NamedTuple

from msgspec.structs import replace

from agent.errors import LineLost
from agent.records import Quality, Reading
from agent.sources import Context, Given, Position
from agent.sources.health import COUNTERS_EVERY, Health
from agent.sources.line import backoff
from agent.sources.opening import off_loop
from agent.sources.ports import denial
from agent.stages import session
from agent.vocabulary import fault, point

FASTEST = 10_000.0
AHEAD = 256  # moments that are read at once, off the loop: a slow card must not stall a serial line
AGAIN = 1.0  # s between two rounds; a session of a single moment must not keep the loop busy


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Which session, and how fast."""

    file: Path
    """JSON lines, as `atm-agent record` writes them."""
    of: str = ""
    """Whose Readings of the session; without it, those of the first machine in it."""
    speed: float = 1.0
    """How much faster than it was."""
    repeat: bool = False
    """Begin again at its end."""

    def __post_init__(self) -> None:
        if not 0.0 < self.speed <= FASTEST:
            raise ValueError(f"speed: expected more than 0 and at most {FASTEST:.0f}, got {self.speed:g}")


class Pace:
    """When each moment of a session is due; `mono` is seconds of the loop's clock."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._begin = self._first = self._latest = 0.0
        self._begun = False

    def due(self, at: float, mono: float) -> tuple[float, float]:
        """When to say what was heard at `at`, and by how many seconds earlier it is to be dated: an event may be told late."""
        if not self._begun:
            self._begun = True
            self._begin, self._first, self._latest = mono, at, at
        self._latest = max(self._latest, at)
        return self._begin + (self._latest - self._first) / self._speed, (self._latest - at) / self._speed


class Mark(NamedTuple):
    """What tells one version of a file from another."""

    inode: int
    size: int
    changed: int  # ns since the epoch; a change of the permissions counts too


def mark(path: Path) -> Mark | None:
    """Of the file that is there now; None when there is none to be seen."""
    with suppress(OSError):
        state = path.stat()
        return Mark(state.st_ino, state.st_size, state.st_ctime_ns)
    return None


def moments(path: Path) -> Generator[list[Reading] | LineLost]:
    """What was heard at each moment; and, at the end of what can be read, why that is the end and what to do."""
    try:
        if not S_ISREG(path.stat().st_mode):
            yield LineLost(f"{path} is no file: name one that atm-agent record wrote", "broken")
            return
        with path.open("rb") as file:
            yield from session.read(file, str(path))
    except session.SessionError as error:
        yield LineLost(str(error), "broken")
    except FileNotFoundError:
        yield LineLost(f"{path} does not exist: record it with atm-agent record, or name another")
    except PermissionError:
        yield LineLost(f"{path}: {denial(str(path))}", "denied")
    except OSError as error:
        yield LineLost(f"{path} cannot be read: {error.strerror}", "broken")


class ReplaySource:
    """One session. See `Source` for when its methods are called."""

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
        self._rng = rng if rng is not None else Random()
        self._sleep = sleep
        self._machine = ""  # the first in the session
        self._moments = self._unknown = self._rounds = 0
        self._health = Health(context, self._counters)

    @property
    def identity(self) -> str:
        """Whose session it is."""
        return f"a session of {self._settings.of or self._machine}" if self._settings.of or self._machine else ""

    async def read(self, position: Position | None) -> AsyncGenerator[Given]:
        """The session from its beginning, and again when the file has become another."""
        del position  # it is said anew at each start
        path = self._settings.file
        while True:
            seen = await off_loop(lambda: mark(path), _nothing, f"look at {path}")
            tries = 0
            try:
                async with aclosing(self._once()) as said:
                    async for given in said:
                        yield given
                if self._settings.repeat:
                    await self._sleep(AGAIN)
                    continue
                self._health.turn("stopped", "the session was said to its end")
            except LineLost as error:
                self._health.turn(error.word, str(error))
            while tries == 0 or await off_loop(lambda: mark(path), _nothing, f"look at {path}") == seen:
                for given in self._about_itself():
                    yield given
                tries += 1
                await self._sleep(backoff(tries, self._rng))

    async def _once(self) -> AsyncGenerator[Given]:
        """The session once, with what the source says about itself. Raises LineLost."""
        loop, said = asyncio.get_running_loop(), self._moments
        lines = moments(self._settings.file)
        pace = Pace(self._settings.speed)
        whose = self._settings.of
        try:
            while ahead := await off_loop(lambda: list(islice(lines, AHEAD)), _nothing, f"read {self._settings.file}"):
                for moment in ahead:
                    if isinstance(moment, LineLost):
                        raise moment
                    self._health.turn("ok")
                    self._machine = self._machine or moment[0].machine
                    whose = whose or moment[0].machine
                    due, earlier = pace.due(moment[0].at, loop.time())
                    while (left := due - loop.time()) > 0.0:
                        for given in self._about_itself():
                            yield given
                        await self._sleep(min(left, COUNTERS_EVERY))
                    at = self._context.now() - (loop.time() - due) - earlier
                    if readings := [self._today(each, at) for each in moment if self._is_of(each, whose)]:
                        self._moments += 1
                        yield Given(readings)
                for given in self._about_itself():
                    yield given
                await self._sleep(0.0)  # at high speed everything is due at once, and the others want their turn
            if self._moments == said:
                raise LineLost(f"{self._settings.file} holds no reading of {whose or 'any machine'}: name another", "broken")
            self._rounds += 1
        finally:
            with suppress(ValueError):  # it is being read: a cancelled thread closes it
                lines.close()

    def _is_of(self, reading: Reading, machine: str) -> bool:
        """Whether to say it again; what the gateway that recorded it said about itself is no matter of this one."""
        if reading.machine != machine or reading.point.startswith("gateway."):
            return False
        known = point(reading.point) is not None
        self._unknown += not known
        return known

    def _today(self, reading: Reading, at: float) -> Reading:
        """The same of our machine at `at`; what its point cannot say gives None."""
        entry = point(reading.point)
        assert entry is not None
        if (wrong := fault(entry, reading.value)) is None:
            return replace(reading, machine=self._context.machine, at=at)
        self._unknown += 1
        return Reading(self._context.machine, reading.point, None, at, Quality.BAD, wrong)

    def _about_itself(self) -> list[Given]:
        readings = self._health.due(self._context.now(), asyncio.get_running_loop().time())
        return [Given(readings)] if readings else []

    def _counters(self) -> dict[str, int]:
        return {"frames": self._moments, "unknown": self._unknown, "reconnects": self._rounds}

    def acknowledge(self, position: Position) -> None:
        """Never called: a session gives no position."""


def _nothing(_: object) -> None:
    """What is read of a file needs no undoing."""


def open_source(context: Context, settings: Settings) -> ReplaySource:
    """A session as configured. Touches no file."""
    return ReplaySource(context, settings)
