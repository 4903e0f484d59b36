"""Real servers for the tests to talk to, on free ports of 127.0.0.1, and lines between that can be made to fail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

HOST = "127.0.0.1"
PATIENCE = 10.0  # s for a server to start on a busy machine
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def program(name: str, package: str) -> str:
    """The path of an installed program; a test without it fails and says what to type."""
    found = shutil.which(name, path=SEARCH)
    assert found is not None, f"{name} is not installed. Type: sudo apt-get install -y --no-install-recommends {package}"
    return found


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Server:
    """A server's process; it can be stopped and started again on the same port."""

    def __init__(self, command: list[str], port: int, kind: socket.SocketKind, log: Path) -> None:
        self.port = port
        self._command = command
        self._kind = kind
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not self._listens():
            assert self._process.poll() is None, f"{self._command[0]} ended at once: {self.log()}"
            assert time.monotonic() < deadline, f"{self._command[0]} does not listen: {self.log()}"
            time.sleep(0.01)

    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        if self._kind is socket.SOCK_STREAM:
            with socket.socket() as probe:
                return probe.connect_ex((HOST, self.port)) == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            return probe.connect_ex((HOST, self.port)) == 0 and _coap_ping(probe)


def _coap_ping(probe: socket.socket) -> bool:
    """An empty confirmable message; a CoAP server resets it (RFC 7252, 4.3)."""
    probe.settimeout(0.1)
    try:
        probe.send(bytes.fromhex("40004d49"))
        return probe.recv(4) == bytes.fromhex("70004d49")
    except OSError:
        return False


def mosquitto(folder: Path, *configuration: str) -> Server:
    """A broker, not started. Without further configuration everybody may do everything.

    Started by root it stays root, for it must read files below pytest's own directories.
    """
    port = free_port()
    lines = ["user root", f"listener {port} {HOST}", *(configuration or ("allow_anonymous true",))]
    file = folder / f"mosquitto-{port}.conf"
    file.write_text("\n".join(lines) + "\n")
    return Server([program("mosquitto", "mosquitto"), "-c", str(file)], port, socket.SOCK_STREAM, file.with_suffix(".log"))


def mosquitto_password(folder: Path, **users: str) -> Path:
    """A password file for mosquitto."""
    file = folder / "users"
    file.touch(mode=0o600)
    for user, password in users.items():
        command = [program("mosquitto_passwd", "mosquitto"), "-b", str(file), user, password]
        subprocess.run(command, check=True, capture_output=True)
    return file


def libcoap(folder: Path, *arguments: str) -> Server:
    """libcoap's example server, not started."""
    port = free_port(socket.SOCK_DGRAM)
    command = [program("coap-server-openssl", "libcoap3-bin"), "-A", HOST, "-p", str(port), *arguments]
    return Server(command, port, socket.SOCK_DGRAM, folder / f"libcoap-{port}.log")


def nats(folder: Path) -> Server:
    """NATS with its MQTT port, which speaks 3.1.1; not started."""
    port = free_port()
    file = folder / "nats.conf"
    file.write_text(
        f'listen: "{HOST}:{free_port()}"\nserver_name: "tests"\njetstream {{ store_dir: "{folder}" }}\n'
        f'mqtt {{ host: "{HOST}", port: {port} }}\n'
    )
    return Server([program("nats-server", "nats-server"), "-c", str(file)], port, socket.SOCK_STREAM, folder / "nats.log")


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The address of a database of a server of its own. It refuses to be root, so it is somebody else then."""
    bin_ = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = str(bin_[-1] / "initdb") if bin_ else program("initdb", "postgresql")
    as_ = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # not below pytest's own directories, which are closed to others
    try:
        if as_:
            shutil.chown(folder, "nobody", "nogroup")
        make = [*as_, initdb, "-D", f"{folder}/data", "-U", "atm", "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder)
        port = free_port()
        options = ["-p", str(port), "-c", f"listen_addresses={HOST}", "-c", f"unix_socket_directories={folder}"]
        server = [*as_, str(Path(initdb).with_name("postgres")), "-D", f"{folder}/data", *options]
        started = Server(server, port, socket.SOCK_STREAM, folder / "log")
        started.start()
        where = f"postgresql://atm@{HOST}:{port}/postgres"
        try:
            _await_postgres(where)
            yield where
        finally:
            started.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await_postgres(where: str) -> None:
    import psycopg

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(where).close()
        except psycopg.OperationalError:  # it is starting up
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """Start it, and stop it in the end."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Relay:
    """A line to a server. What it swallows is taken from its sender and never arrives: a half-open link."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.swallow_up = False  # to the server
        self.swallow_down = False  # from the server
        self.twice = False  # what comes from the server arrives two times; over datagrams what goes there, too
        self._carried = 0  # bytes to the server
        self.swallowed = 0  # bytes in either direction
        self._held: list[Callable[[], None]] | None = None  # what came from the server and waits
        self._moved = asyncio.Event()

    def silence(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self.swallow_up = self.swallow_down = True

    def heal(self) -> None:
        """What is sent from now on arrives."""
        self.swallow_up = self.swallow_down = False

    def hold(self) -> None:
        """What comes from the server waits."""
        self._held = []

    def release(self) -> None:
        """What has waited arrives, late."""
        waiting, self._held = self._held or [], None
        for arrive in waiting:
            arrive()

    async def carries(self, count: int) -> None:
        """Return when so many bytes more have gone to the server."""
        enough = self._carried + count
        await self._until(lambda: self._carried >= enough)

    async def swallows(self, beyond: int | None = None) -> int:
        """Return when more was swallowed than until now, or than `beyond`; how much it is then."""
        before = self.swallowed if beyond is None else beyond
        await self._until(lambda: self.swallowed > before)
        return self.swallowed

    async def holds(self) -> None:
        """Return when something waits."""
        await self._until(lambda: bool(self._held))

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE * 3):  # it never comes to that
            while not condition():
                self._moved.clear()
                await self._moved.wait()

    def cut(self) -> None:
        """Break every connection."""

    def carry(self, data: bytes, *, up: bool, arrive: Callable[[bytes], None]) -> None:
        """Let some bytes arrive, or not."""
        if self.swallow_up if up else self.swallow_down:
            self.swallowed += len(data)
        elif up:
            self._carried += len(data)
            arrive(data)
        elif self._held is not None:
            self._held.append(lambda: arrive(data))
        else:
            arrive(data)
        self._moved.set()


class TcpRelay(Relay):
    """See `Relay`."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> TcpRelay:
        await self.open(HOST, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._accept, host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        await asyncio.gather(self._pump(reader, far_writer, up=True), self._pump(far_reader, writer, up=False))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        def arrive(data: bytes) -> None:
            if not writer.is_closing():
                writer.write(data * 2 if self.twice and not up else data)

        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self.carry(data, up=up, arrive=arrive)
                await writer.drain()
        if self.swallow_up if up else self.swallow_down:
            return  # an end is told as little as anything else
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class UdpRelay(Relay):
    """See `Relay`."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self._far: dict[tuple[str, int], asyncio.DatagramTransport] = {}
        self._opening = asyncio.Lock()
        self._near_end = _Near(self)

    async def __aenter__(self) -> UdpRelay:
        await self.open(HOST, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self, host: str, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._near, _ = await self._loop.create_datagram_endpoint(lambda: self._near_end, local_addr=(host, port))
        self.port = self._near.get_extra_info("sockname")[1]

    async def close(self) -> None:
        self._near.abort()
        await asyncio.sleep(0)
        await asyncio.gather(*self._near_end.tasks)
        self.dial_again()
        await asyncio.sleep(0)

    def dial_again(self) -> None:
        """Every client has another address from here on, as after a modem's new connection."""
        for transport in self._far.values():
            transport.abort()
        self._far.clear()

    async def up(self, data: bytes, client: tuple[str, int]) -> None:
        async with self._opening:
            if client not in self._far:
                far, _ = await self._loop.create_datagram_endpoint(lambda: _Far(self, client), remote_addr=(HOST, self.target))
                self._far[client] = far
            far = self._far[client]
        self.carry(data, up=True, arrive=lambda datagram: self._send(far.sendto, datagram))

    def down(self, data: bytes, client: tuple[str, int]) -> None:
        self.carry(data, up=False, arrive=lambda datagram: self._send(lambda each: self._near.sendto(each, client), datagram))

    def _send(self, send: Callable[[bytes], None], datagram: bytes) -> None:
        for _ in range(2 if self.twice else 1):
            send(datagram)


class _Near(asyncio.DatagramProtocol):
    def __init__(self, relay: UdpRelay) -> None:
        self._relay = relay
        self.tasks: set[asyncio.Task[None]] = set()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._relay.up(data, addr))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class _Far(asyncio.DatagramProtocol):
    def __init__(self, relay: UdpRelay, client: tuple[str, int]) -> None:
        self._relay = relay
        self._client = client

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._relay.down(data, self._client)


@contextlib.asynccontextmanager
async def scripted_broker(*answers: bytes) -> AsyncIterator[int]:
    """A broker that answers each packet with the next of these bytes, and hangs up at the first that has no answer. Its port."""
    waiting = list(answers)
    async with answering_broker(lambda _: waiting.pop(0) if waiting else None) as port:
        yield port


@contextlib.asynccontextmanager
async def answering_broker(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[int]:
    """A broker that answers each packet with what a function makes of it, and hangs up at None. Its port."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                said = answer(await _packet(reader))
                if said is None:
                    writer.transport.abort()
                    return
                writer.write(said)

    server = await asyncio.start_server(accept, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """One MQTT packet (MQTT 5, 2.1)."""
    head = await reader.readexactly(1)
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return head + await reader.readexactly(length)
