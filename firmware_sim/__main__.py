"""`python -m firmware_sim`: a simulated cash machine on a pseudo terminal or a socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from datetime import time as time_of_day
from typing import Protocol

from firmware_sim.board import Board
from firmware_sim.conversation import Alone, Conversation, Side
from firmware_sim.device_shell import DeviceShell
from firmware_sim.firmware import Firmware, Pace
from firmware_sim.hexdump import hexdump
from firmware_sim.lines import line
from firmware_sim.options import BOARD, XFS4IOT, Options, read
from firmware_sim.pin_board import PinBoard
from firmware_sim.ports import Port, PortRefusedError, PtyPort, TcpPort
from firmware_sim.scenarios import SCENARIOS
from firmware_sim.shell import Shell, TruthFile
from firmware_sim.twins import controller, twin

OK, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit status."""
    try:
        options = read(arguments)
        if not isinstance(options, Options):
            list_scenarios(as_json=options.json)
        elif options.hexdump:
            dump(options)
        else:
            asyncio.run(serve(options))
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read our output has gone; give the interpreter something else to flush at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:  # before the port was open; from then on SIGINT ends `serve` in order
        return FAILED
    except PortRefusedError as error:
        print(f"firmware_sim: {error}", file=sys.stderr)
        return USAGE
    except OSError as error:
        places = " -> ".join(str(each) for each in (error.filename, error.filename2) if each is not None)
        print(f"firmware_sim: {places or 'the port'}: {error.strerror or error}", file=sys.stderr)
        return FAILED
    return OK


def list_scenarios(*, as_json: bool) -> None:
    """Print every scenario with its length and its settings."""
    if as_json:
        shown = [
            {
                "name": one.name,
                "summary": one.summary,
                "start": one.start.isoformat(),
                "days": one.days,
                "settings": {key: _plain(value) for key, value in one.settings.items()},
            }
            for one in SCENARIOS.values()
        ]
        print(json.dumps(shown, indent=2))
        return
    for one in SCENARIOS.values():
        print(f"{one.name:<21} {one.summary}")


def _plain(value: object) -> object:
    return f"{value:%H:%M}" if isinstance(value, time_of_day) else value


def dump(options: Options) -> None:
    """Print the frames of the first minute after `--skip`."""
    options.world.run_to(options.world.start + options.skip)
    for text in hexdump(options.world):
        print(text)


async def serve(options: Options) -> None:
    """Serve one machine until its end, or until SIGTERM or SIGINT."""
    world = options.world
    world.run_to(world.start + options.skip)
    pace = Pace(world.now, time.time() if options.anchor is None else options.anchor, options.speed)
    if options.anchor is not None:
        # an anchor in the past means that the world is further on already; nobody was there to hear of it
        world.run_to(max(world.now, min(pace.world(time.time()), options.until)))
    async with AsyncExitStack() as stack:
        truth = None
        if options.truth is not None:
            truth = TruthFile(stack.enter_context(options.truth.open("w", encoding="utf-8")), world, pace)
        shell, address = await opened(options, pace, stack)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, shell.stop)
        shown = datetime.fromtimestamp(pace.start, UTC).isoformat()
        print(
            f"{address}: {what(options)}{world.scenario.name}, seed {world.seed}, line {options.line}, "
            f"speed {pace.speed:g}; it was {shown} at {pace.anchor:.3f}",
            flush=True,
        )
        await shell.run(pace.real(options.until), truth.write_new if truth else lambda: None)


class Served(Protocol):
    """What runs until its end, with a port of its own."""

    def stop(self) -> None:
        """End `run` soon."""

    async def run(self, until: float, after_each: Callable[[], None]) -> None:
        """Serve until the real time `until`, or until `stop`."""


async def opened(options: Options, pace: Pace, stack: AsyncExitStack) -> tuple[Served, str]:
    """What is served, ready to run, and its address; open for as long as the stack. Raises PortRefusedError."""
    if options.device == XFS4IOT:
        from firmware_sim.publisher import ServicePublisher  # noqa: PLC0415  aiohttp takes longer to load than all the rest

        endpoint = options.tcp or ("", 0)
        publisher = ServicePublisher((options.world, pace), endpoint, time.time, options.certificate)
        await stack.enter_async_context(publisher)
        return publisher, publisher.address
    if options.socket is not None:
        board = PinBoard((options.world, pace), options.socket, time.time)
        await stack.enter_async_context(board)
        return board, board.address
    port: Port = PtyPort(options.pty) if options.pty is not None else TcpPort(*(options.tcp or ("", 0)))
    await stack.enter_async_context(port)
    if options.device == BOARD:
        return board_shell(options, pace, port), port.address
    return await device_shell(options, pace, port, stack), port.address


def board_shell(options: Options, pace: Pace, port: Port) -> Shell:
    """The sensor board, ready to run."""
    rng = options.world.site.stream
    lines = (line(options.line, rng("line/gateway")), line(options.line, rng("line/board")))
    return Shell(Firmware(Board(options.world, pace.period), pace), port, lines, time.time)


async def device_shell(options: Options, pace: Pace, port: Port, stack: AsyncExitStack) -> DeviceShell:
    """Another device, ready to run; ports beside the first are opened for as long as the stack. Raises PortRefusedError."""
    world, device = options.world, options.device
    speaker: Alone | Conversation = Alone(twin(device, world))
    if options.tapped:
        master = controller(device, world)
        if master is None:
            raise PortRefusedError(f"nobody masters the line of {device}; leave --tapped out")
        speaker = Conversation(twin(device, world), master)
    ports: dict[Side, Port] = {"device": port}
    if options.host_pty is not None:
        ports["host"] = await stack.enter_async_context(PtyPort(options.host_pty))
    lines = {name: line(options.line, world.site.stream(f"line/{name}")) for name in ("gateway", "device", "host")}
    return DeviceShell(speaker, ports, lines, (world, pace), time.time, any_settings=options.any_settings)


def what(options: Options) -> str:
    """The device, for the first line; nothing for the board."""
    return "" if options.device == BOARD else f"{options.device}{' (tapped)' if options.tapped else ''}, "


if __name__ == "__main__":
    sys.exit(main())
