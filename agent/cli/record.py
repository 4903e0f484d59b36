"""`atm-agent record CONFIG --out FILE`: what the sources say, into a session that can be replayed."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from importlib import import_module
from typing import Any, BinaryIO, TypeVar

from agent import config
from agent.config.scalars import duration, size
from agent.config.settings import Settings, SourceSettings
from agent.errors import EXIT_OK, AgentError, ConfigError
from agent.quiet import Quiet
from agent.sources import SOURCES, Context, Given, Source
from agent.sources.opening import off_loop
from agent.stages.guard import scrubbed
from agent.stages.session import Recorder

T = TypeVar("T")

STANDARD_OUTPUT = "-"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "record",
        help="write what the sources say into a file that can be replayed",
        description="Open the sources of a configuration and write what they say into a session (JSON lines), until SIGINT, "
        "SIGTERM or a limit. It takes the agent's place at the lines: stop the agent first. Events that a board wants "
        "acknowledged are acknowledged once they are in the file, and stand there alone.",
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML file")
    parser.add_argument("--out", required=True, metavar="FILE", help="the session, a new file; - is standard output")
    parser.add_argument("--source", action="append", default=[], metavar="NAME", help="only this one (default: all); repeatable")
    parser.add_argument("--for", dest="span", type=argument(duration), metavar="DURATION", help="end after so long")
    parser.add_argument("--limit", type=argument(size), default="64MiB", metavar="SIZE", help="end at so much (default: 64MiB)")
    parser.add_argument("--note", default="", metavar="TEXT", help="what it shows, for its first line")


def argument(scalar: Callable[[str], T]) -> Callable[[str], T]:
    """A kind of setting as a kind of argument."""

    def read(text: str) -> T:
        try:
            return scalar(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def run(args: argparse.Namespace) -> int:
    """Record."""
    settings = config.load(args.config)
    wanted = chosen(settings, args.source, args.config)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(Quiet())
    logging.basicConfig(handlers=[handler], level=settings.gateway.log.upper())
    sources = [_open(each, settings.gateway.id) for each in wanted]
    with _created(args.out) as file:
        written = Session(file, args.out, Recorder(wanted[0].machine, args.note), args.limit)
        why = asyncio.run(_record(sources, written, args.span))
    told = f"{args.out}: {written.moments} moments, {written.readings} readings, {written.bytes} bytes; {why}"
    print(told, file=sys.stderr if args.out == STANDARD_OUTPUT else sys.stdout)
    return EXIT_OK


def chosen(settings: Settings, names: Sequence[str], path: str) -> list[SourceSettings]:
    """The sources of these names, or all. Raises ConfigError."""
    known = [each.name for each in settings.sources]
    unknown = [name for name in names if name not in known]
    if unknown or not known:
        there = f"; there are {', '.join(known)}" if known else ""
        what = f"no source is called {unknown[0]!r}{there}" if known else "no source is configured; name at least one"
        raise ConfigError([f"{path}: sources: {what}"])
    return [each for each in settings.sources if not names or each.name in names]


def _open(source: SourceSettings, gateway: str) -> Source:
    context = Context(source.name, source.machine, gateway, time.time)
    opened: Source = import_module(SOURCES[source.kind]).open_source(context, source.settings)
    return opened


@contextmanager
def _created(name: str) -> Iterator[BinaryIO]:
    if name == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        return
    try:
        file = open(name, "xb")  # noqa: SIM115  closed below; only the opening may raise these
    except FileExistsError:
        raise AgentError(f"{name}: is there already; name another file, or remove it") from None
    except OSError as error:
        raise AgentError(f"{name}: cannot be written: {error.strerror}") from error
    with file:
        yield file


class Session:
    """The file that is being written. It holds whole lines only, and never more than its limit."""

    def __init__(self, file: BinaryIO, name: str, recorder: Recorder, limit: int) -> None:
        self.moments = self.readings = self.bytes = 0
        self._file, self._name = file, name
        self._recorder = recorder
        self._limit = limit
        self._put(recorder.head)

    def take(self, given: Given) -> bool:
        """Write what a source gave; False when that would be too much. Raises AgentError."""
        readings = [scrubbed(reading)[0] for reading in given.readings]
        lines = list(self._recorder.lines(readings))  # type: ignore[arg-type]  # of a Reading the guard makes a Reading
        if self.bytes + sum(len(line) + 1 for line in lines) > self._limit:
            return False
        for line in lines:
            self._put(line)
        self.moments += len(lines)
        self.readings += len(readings)
        return True

    def _put(self, line: bytes) -> None:
        try:
            self._file.write(line + b"\n")
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise AgentError(f"{self._name}: cannot be written: {error.strerror}; what came before is kept") from error
        self.bytes += len(line) + 1

    def sync(self) -> None:
        """Return once everything is on disk. May take its time: call it in a thread."""
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            return  # a pipe has no disk
        try:
            os.fdatasync(self._file.fileno())
        except OSError as error:
            raise AgentError(f"{self._name}: cannot be written: {error.strerror}; what came before is kept") from error


async def _record(sources: Sequence[Source], session: Session, span: float | None) -> str:
    """Follow every source until a signal, a limit or an error; why it ended."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Any] = loop.create_future()

    def end(why: str) -> None:
        if not ended.done():
            ended.set_result(why)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, "ended by a signal")
    if span is not None:
        loop.call_later(span, end, "ended after its time")
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(_follow(source, session, end)) for source in sources]
    try:
        await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    for error in found:
        if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
            raise error
    return str(ended.result())


async def _follow(source: Source, session: Session, end: Callable[[str], None]) -> None:
    async with aclosing(source.read(None)) as given_by_source:
        async for given in given_by_source:
            if not session.take(given):
                end("ended at its limit")
                return
            if given.position is not None:
                await off_loop(session.sync, lambda _: None, "sync")
                source.acknowledge(given.position)
