"""What the benchmarks of the uplinks talk to: mosquitto, a CoAP receiver, and a line that counts what it carries."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

HOST = "127.0.0.1"
SEARCH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
PATIENCE = 60.0  # s for a server to start on a busy machine


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker that can be stopped and started again on its port. It keeps nothing on a disk."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / "mosquitto.log"
        self._file = folder / "mosquitto.conf"
        lines = [
            "user root",
            f"listener {self.port} {HOST}",
            "allow_anonymous true",
            "max_queued_messages 0",
            "persistence false",
        ]
        self._file.write_text("\n".join(lines) + "\n")
        found = shutil.which("mosquitto", path=SEARCH)
        if found is None:
            raise SystemExit("mosquitto is not installed. Type: sudo apt-get install -y --no-install-recommends mosquitto")
        self._program = found
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen([self._program, "-c", str(self._file)], stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            time.sleep(0.01)
        raise SystemExit(f"mosquitto does not listen: {self._log.read_text()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[Mosquitto]:
    """Started, and stopped in the end."""
    broker = Mosquitto(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextlib.contextmanager
def coap_receiver(folder: Path) -> Iterator[int]:
    """The port of `atm-agent receive coap`, in a process of its own."""
    ready = folder / "coap.ready"
    command = [sys.executable, "-m", "agent", "receive", "coap", "--bind", f"{HOST}:0", "--ready-file", str(ready)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield int(ready.read_text().strip().rpartition(":")[2])
    finally:
        process.kill()
        process.wait()


class Counted:
    """A TCP line that counts the bytes towards the server."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.bytes = 0
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        for source, sink, up in ((reader, far_writer, True), (far_reader, writer, False)):
            task = asyncio.create_task(self._pump(source, sink, up=up))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self.bytes += len(data) if up else 0
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def counted(target: int) -> AsyncIterator[Counted]:
    """A counted line to a port of this machine."""
    line = Counted(target)
    server = await asyncio.start_server(line._accept, HOST, 0)  # noqa: SLF001  one of us
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        await asyncio.sleep(0.05)
