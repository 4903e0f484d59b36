"""The show: processes started, the link cut and mended, the machine attacked, everything counted at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.cli.demo.account import account
from agent.cli.demo.link import TcpLink, UdpLink
from agent.cli.demo.view import view
from agent.errors import AgentError
from agent.status import statuses

SPEED = 20.0  # world seconds in a real one: an attack that takes minutes fits into the outage
WORLD = datetime(2025, 3, 13, 12, 40, tzinfo=UTC).timestamp()  # noon: there are customers
LEAD = 900.0  # world seconds that have passed when the show begins
OUTAGE = 8.0  # s
CALM_SHARE = 0.3  # of the time: ordinary work before the outage
ATTACK_AFTER = 0.5  # s into the outage
CLOSING = 4.0  # s at the end to count
START_LIMIT = 60.0  # s for a process to be ready, on the slowest board
GATEWAY, MACHINE = "demo-gateway", "ATM-DEMO"


class Show:
    """One run. Everything lives in a temporary directory that goes with it."""

    def __init__(self, seconds: float, seed: int, broker: str | None) -> None:
        self._seconds, self._seed, self._broker = seconds, seed, broker
        self._status: dict[str, Any] | None = None
        self._act = "starting"
        self._link: UdpLink | TcpLink
        self._heard: list[str] = []
        self._backlog_max = 0
        self._duplicates = 0

    async def play(self) -> dict[str, Any]:
        """The whole show; returns the account. Raises AgentError when something does not start."""
        with tempfile.TemporaryDirectory(prefix="atm-demo-") as name:
            room = Path(name)
            async with AsyncExitStack() as stack:
                receiver, listener = await self._start_receiver(stack, room)
                port = await self._open_link(stack, (room / "ready").read_text().strip())
                began = time.time()
                (room / "config.yaml").write_text(self._config(room, port))
                agent = await self._start_agent(stack, room, began)
                outage = await self._acts(stack, room, began)
                agent.send_signal(signal.SIGTERM)
                await agent.wait()
                receiver.send_signal(signal.SIGTERM)
                await receiver.wait()
                await listener
            assert self._status is not None
            counted = account(room / "store", room / "received.jsonl", self._status, SPEED)
            return {**counted, "duplicates": self._duplicates, "outage_s": round(outage, 1), "backlog_max": self._backlog_max}

    # Processes ----------------------------------------------------------------------------------------------------------

    async def _start_receiver(self, stack: AsyncExitStack, room: Path) -> tuple[asyncio.subprocess.Process, asyncio.Task[None]]:
        way = ["mqtt", self._broker, "--topic", f"atm/{GATEWAY}/+"] if self._broker else ["coap", "--bind", "127.0.0.1:0"]
        files = ["--out", str(room / "received.jsonl"), "--ready-file", str(room / "ready"), "--json"]
        process = await _start(stack, "-m", "agent", "receive", *way, *files, stdout=asyncio.subprocess.PIPE)
        listener = asyncio.create_task(self._listen(process), name="receiver's lines")
        stack.callback(listener.cancel)
        await _until((room / "ready").exists, process, "the receiver")
        return process, listener

    async def _listen(self, receiver: asyncio.subprocess.Process) -> None:
        assert receiver.stdout is not None
        async for line in receiver.stdout:
            text = line.decode(errors="replace").rstrip()
            if text.startswith("alarm"):
                self._heard.append(text.partition(" ")[2])
            elif text.startswith("{"):
                self._duplicates = json.loads(text)["duplicates"]

    async def _open_link(self, stack: AsyncExitStack, url: str) -> int:
        where = urlsplit(url)
        host, port = where.hostname or "127.0.0.1", where.port or (1883 if self._broker else 5683)
        self._link = TcpLink(host, port) if self._broker else UdpLink(host, port)
        stack.push_async_callback(self._link.close)
        return await self._link.open()

    def _config(self, room: Path, port: int) -> str:
        """The agent's configuration, as an operator would write it."""
        scheme = "mqtt" if self._broker else "coap"
        cassettes = {f"unit{unit}": {"value": value, "currency": "EUR"} for unit, value in enumerate((500, 1000, 2000, 5000), 1)}
        return json.dumps(
            {
                "gateway": {"id": GATEWAY, "runtime": str(room), "log": "error"},
                "machines": [{"id": MACHINE, "location": {"name": "demo"}, "cassettes": cassettes}],
                "sources": [{"name": "board", "kind": "board", "machine": MACHINE, "port": str(room / "board")}],
                "rules": {"disable": ["sourceLost"]},  # the machine is switched on after the agent, to have it hear everything
                "forward": {"summaries": "60s", "readings": "changes"},
                "models": [{"name": "attack_risk"}],
                "store": {"path": str(room / "store")},
                "uplinks": [{"name": "platform", "kind": scheme, "url": f"{scheme}://127.0.0.1:{port}", "ack_timeout": "2s"}],
            },
            indent=2,
        )

    async def _start_agent(self, stack: AsyncExitStack, room: Path, began: float) -> asyncio.subprocess.Process:
        clock = ["--clock-start", str(WORLD + LEAD), "--clock-anchor", str(began), "--clock-speed", str(SPEED)]
        process = await _start(stack, "-m", "agent", "run", str(room / "config.yaml"), *clock)
        follower = asyncio.create_task(self._follow(room), name="the agent's status")
        stack.callback(follower.cancel)
        await _until(self._is_ready, process, "the agent")
        return process

    def _is_ready(self) -> bool:
        status = self._status
        return status is not None and status["uplinks"].get("platform") == "up" and bool(status["models"])

    async def _follow(self, room: Path) -> None:
        while True:
            with contextlib.suppress(OSError):
                async for status in statuses(room):
                    self._status = status
                    self._backlog_max = max(self._backlog_max, sum(status["backlog"].values()))
            await asyncio.sleep(0.1)

    async def _start_machine(self, stack: AsyncExitStack, room: Path, began: float, attack: float) -> asyncio.subprocess.Process:
        at = datetime.fromtimestamp(WORLD + LEAD + (attack - began) * SPEED, UTC).strftime("%H:%M:%S")
        start = datetime.fromtimestamp(WORLD, UTC).isoformat()
        world = [
            "--scenario",
            "black_box",
            "--seed",
            str(self._seed),
            "--start",
            start,
            "--skip",
            f"{LEAD:g}s",
            "--set",
            f"at={at}",
        ]
        line = ["--pty", str(room / "board"), "--anchor", str(began), "--speed", str(SPEED), "--forever"]
        process = await _start(stack, "-m", "firmware_sim", *world, *line)
        await _until(self._hears_machine, process, "the simulated machine")
        return process

    def _hears_machine(self) -> bool:
        return self._status is not None and len(self._status["points"].get(MACHINE, {})) > 10

    # Acts ---------------------------------------------------------------------------------------------------------------

    async def _acts(self, stack: AsyncExitStack, room: Path, began: float) -> float:
        """Everything between the start and the account. Returns how long the platform was away, in seconds."""
        calm = self._seconds * CALM_SHARE
        opening = time.time() + 1.0  # the simulator needs about that long to start
        machine = await self._start_machine(stack, room, began, opening + calm + ATTACK_AFTER)
        async with self._curtain():
            await self._until_act("ordinary work", opening + calm)
            cut = time.time()
            self._link.cut = True
            await self._until_act("the platform is away; the machine is attacked", cut + OUTAGE)
            self._link.cut = False
            mended = time.time()
            await self._until_act("the platform is back", max(opening + self._seconds - CLOSING, mended + 2.0))
            await _end(machine)  # what is made after the count would be missing from it
            await self._until_drained()
        return mended - cut

    async def _until_act(self, act: str, end: float) -> None:
        self._act = act
        await asyncio.sleep(max(0.0, end - time.time()))

    async def _until_drained(self) -> None:
        """Wait until the backlog is gone, and the attack known, for a while."""
        self._act = "counting"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_LIMIT):
                while not self._is_settled():  # noqa: ASYNC110  another process settles it
                    await asyncio.sleep(0.2)

    def _is_settled(self) -> bool:
        waiting = self._status is None or sum(self._status["backlog"].values()) > 0
        return not waiting and any("BLACK_BOX" in line for line in self._heard)

    @contextlib.asynccontextmanager
    async def _curtain(self) -> AsyncIterator[None]:
        """The live table on a terminal, a line an act elsewhere."""
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        if not console.is_terminal:
            watcher = asyncio.create_task(self._tell(console), name="acts")
            try:
                yield
            finally:
                watcher.cancel()
            return
        with Live(console=console, auto_refresh=False, transient=False) as live:
            painter = asyncio.create_task(self._paint(live), name="table")
            try:
                yield
            finally:
                painter.cancel()

    async def _paint(self, live: Any) -> None:
        while True:
            live.update(view(self._status, MACHINE, self._act, self._link.cut, self._heard), refresh=True)
            await asyncio.sleep(0.25)

    async def _tell(self, console: Any) -> None:
        told = ""
        while True:
            if self._act != told:
                told = self._act
                console.print(f"{told} …")
            await asyncio.sleep(0.1)


async def _start(stack: AsyncExitStack, *words: str, stdout: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
    """A Python process of our own that does not outlive the show."""
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=asyncio.subprocess.DEVNULL, stdout=stdout)
    stack.push_async_callback(_end, process)
    return process


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


async def _until(ready: Any, process: asyncio.subprocess.Process, who: str) -> None:
    try:
        async with asyncio.timeout(START_LIMIT):
            while not ready():
                if process.returncode is not None:
                    raise AgentError(f"{who} ended at once with status {process.returncode}; its own words stand above")
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AgentError(f"{who} was not ready within {START_LIMIT:g} s") from None
