"""The machine's own XFS4IoT services over WebSocket, read-only: what each device says of itself, its storage and its events.

The services are found through their publisher, or one is named. Each has a connection of its own, which is made again for ever.
What may be asked stands in `xfs4iot_talk.ALLOWED`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from random import Random
from urllib.parse import SplitResult, urlsplit

import aiohttp

from agent.errors import ConfigError, LineLost
from agent.records import Reading
from agent.settings import Duration
from agent.sources import Context, Given, Position
from agent.sources.health import Health
from agent.sources.line import backoff
from agent.sources.ports import why_unreachable
from agent.sources.xfs4iot_talk import SERVICES_LIMIT, PublisherTalk, ServiceTalk, Talk, address, may_send
from agent.wire.xfs4iot import MESSAGE_LIMIT, PORTS, PUBLISHER_PATH

CONNECT_TIMEOUT = 5.0  # s; the services are in this machine, or one cable away
HEARTBEAT = 15.0  # s between two pings of a connection on which nothing else shows that it lives
TURN = 1.0  # s between two looks at what is due
WAITING_LIMIT = 256  # Givens that may wait for the one who reads; then the connections wait too
CLOSE_TIMEOUT = 0.3  # s for the other end to say goodbye too
NO_SERVICES = "{url} names no service: is one configured there?"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the services are, and how often they are asked."""

    url: str
    """wss://HOST: look for its publisher on 443 and 5846 to 5856; with a port: there; with a path: that service or publisher."""
    ca: Path | None = None
    """PEM file of who signed the services' certificates; without it the system's own."""
    every: Duration = 60.0
    """How often each service is asked anew; events tell of changes between."""
    insecure: bool = False
    """Take ws:// to another host: anybody on the way can read along, and lie."""

    def __post_init__(self) -> None:
        parts = _parts(self.url)
        if parts is None:
            raise ValueError(f"url: expected wss://HOST, wss://HOST:PORT or the address of a service, got {self.url!r}")
        if parts.scheme == "ws" and not self.insecure and not _is_here(parts.hostname or ""):
            raise ValueError("url: ws:// leaves the computer without protection; take wss://, or say insecure: true")
        if self.ca is not None and parts.scheme == "ws":
            raise ValueError("ca: ws:// shows no certificate; take wss://, or leave it out")
        if not 1.0 <= self.every <= 3600.0:
            raise ValueError("every: expected 1s to 1h")


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("ws", "wss") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return parts if usable and not (parts.query or parts.fragment or parts.username) else None


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def addresses(url: str) -> tuple[list[str], str | None]:
    """Where a publisher may be, in the order in which to look; or the one service that `url` names."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if path not in ("", PUBLISHER_PATH):
        return [], url
    if parts.port is not None or path:
        return [f"{parts.scheme}://{parts.netloc}{PUBLISHER_PATH}"], None
    ports = (443 if parts.scheme == "wss" else 80, *PORTS)
    return [f"{parts.scheme}://{parts.netloc}:{port}{PUBLISHER_PATH}" for port in ports], None


class Xfs4IotSource:
    """The services of one machine. See `Source` for when its methods are called."""

    def __init__(
        self,
        context: Context,
        settings: Settings,
        tls: ssl.SSLContext | None,
        rng: Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.name = context.name
        self._context = context
        self._settings = settings
        self._tls = tls
        self._rng = rng if rng is not None else Random()
        self._sleep = sleep
        self._publishers, self._single = addresses(settings.url)
        self._told: asyncio.Queue[list[Reading]] = asyncio.Queue(WAITING_LIMIT)
        self._talks: dict[str, Talk] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lost: dict[str, LineLost | None] = {}  # by address; None: it answers
        self._reconnects = 0
        self._found = 0  # times that a publisher answered
        self._health = Health(context, self._counters)

    @property
    def identity(self) -> str:
        """The vendor that the publisher names, and how many services answer."""
        talks = self._talks.values()
        vendor = next((talk.vendor for talk in talks if isinstance(talk, PublisherTalk) and talk.vendor), "services")
        number = sum(isinstance(talk, ServiceTalk) and talk.frames > 0 for talk in talks)
        return f"{vendor}: {number} of {max(number, len(self._tasks) - (self._single is None))}" if number else ""

    async def read(self, position: Position | None) -> AsyncGenerator[Given]:
        """What every service says, and whether all of them do."""
        del position  # a service tells its state anew at each connection
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession() as session:
            if self._single is not None:
                self._follow(session, self._single)
            else:
                self._start(self._settings.url, self._find(session))
            try:
                while True:
                    readings: list[Reading] = []
                    with suppress(TimeoutError):
                        async with asyncio.timeout(TURN):
                            readings = await self._told.get()
                    for task in self._tasks.values():
                        if task.done():
                            task.result()  # a connection only ends by a bug
                    readings = [*readings, *self._judged(self._context.now(), loop.time())]
                    if readings:
                        yield Given(readings)
            finally:
                for task in self._tasks.values():
                    task.cancel()
                await asyncio.wait(self._tasks.values())

    def _judged(self, at: float, mono: float) -> list[Reading]:
        """The source's own state: ok when everything answers, else that of the first that does not."""
        lost = next((each for each in self._lost.values() if each is not None), None)
        if lost is not None:
            self._health.turn(lost.word, str(lost))
        elif any(isinstance(talk, ServiceTalk) and talk.frames for talk in self._talks.values()):
            self._health.turn("ok")
        return self._health.due(at, mono)

    def _counters(self) -> dict[str, int]:
        talks = self._talks.values()
        unknown = sum(talk.unknown + (talk.values.unknown if isinstance(talk, ServiceTalk) else 0) for talk in talks)
        return {"frames": sum(talk.frames for talk in talks), "unknown": unknown, "reconnects": self._reconnects}

    # Connections ------------------------------------------------------------------------------------------------------------

    def _start(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=f"{self.name} {name}")

    def _follow(self, session: aiohttp.ClientSession, uri: str) -> None:
        if uri not in self._tasks and len(self._tasks) <= SERVICES_LIMIT:
            self._start(uri, self._serve(session, uri))

    async def _find(self, session: aiohttp.ClientSession) -> None:
        """Follow the publisher, and every service that it names, for ever."""
        failures = 0
        while True:
            errors = []
            for uri in self._publishers:
                before = self._found
                try:
                    await self._publisher(session, uri)
                except LineLost as error:
                    errors.append(error)
                if self._found != before:
                    failures, errors = 0, errors[-1:]
                    break  # it was this one
            else:
                errors = [self._not_found(errors)]
            failures += 1
            self._lost[self._settings.url] = errors[0]
            await self._sleep(backoff(failures, self._rng))

    def _not_found(self, errors: list[LineLost]) -> LineLost:
        lost = max(
            errors, key=lambda error: error.word == "broken"
        )  # of many ports that are closed, the one that is not tells most
        if len(errors) == 1 or lost.word == "broken":
            return lost
        ports = f"{urlsplit(self._publishers[0]).port}, {PORTS.start} to {PORTS.stop - 1}"
        return LineLost(f"no service publisher answers at {self._settings.url} on the ports {ports}: name its port", lost.word)

    async def _publisher(self, session: aiohttp.ClientSession, uri: str) -> None:
        talk = PublisherTalk(uri)
        loop = asyncio.get_running_loop()
        async with self._dialled(session, uri) as connection:
            for text in talk.opened(loop.time()):
                await _say(connection, text)
            while True:
                heard = await _hear(connection, uri)
                named = talk.received(heard) if heard is not None else []
                for each in named:
                    if (dialled := address(each, uri)) is not None and dialled != uri:
                        self._follow(session, dialled)
                talk.overdue(loop.time())
                if not talk.waiting():
                    self._found += self._talks.get(self._settings.url) is not talk
                    self._talks[self._settings.url] = talk
                    some = len(self._tasks) > 1
                    self._lost[self._settings.url] = None if some else LineLost(NO_SERVICES.format(url=uri), "silent")

    async def _serve(self, session: aiohttp.ClientSession, uri: str) -> None:
        """One service, for ever."""
        talk = self._talks[uri] = ServiceTalk(self._context, uri, self._settings.every)
        failures = openings = 0
        while True:
            heard = talk.frames
            try:
                async with self._dialled(session, uri) as connection:
                    self._reconnects += openings > 0
                    openings += 1
                    await self._converse(connection, talk, uri)
            except LineLost as error:
                self._lost[uri] = error
            failures = 1 if talk.frames > heard else failures + 1
            if readings := talk.away(self._context.now()):
                await self._told.put(readings)
            await self._sleep(backoff(failures, self._rng))

    async def _converse(self, connection: aiohttp.ClientWebSocketResponse, talk: ServiceTalk, uri: str) -> None:
        loop, now = asyncio.get_running_loop(), self._context.now
        for text in talk.opened(loop.time()):
            await _say(connection, text)
        while True:
            heard = await _hear(connection, uri)
            turned = [talk.received(heard, now(), loop.time())] if heard is not None else []
            turned.append(talk.tick(now(), loop.time()))
            if talk.frames and heard is not None:
                self._lost[uri] = None
            if readings := [reading for each in turned for reading in each.readings]:
                await self._told.put(readings)
            for each in turned:
                for text in each.asks:
                    await _say(connection, text)

    @asynccontextmanager
    async def _dialled(self, session: aiohttp.ClientSession, uri: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """An open connection. Raises LineLost, then and later."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                connection = await session.ws_connect(
                    uri,
                    ssl=self._tls if self._tls is not None else True,
                    max_msg_size=MESSAGE_LIMIT,
                    heartbeat=HEARTBEAT,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
                )
        except (aiohttp.ClientError, OSError) as error:
            raise _why(uri, error) from error
        try:
            yield connection
        except LineLost:
            raise
        except (aiohttp.ClientError, ConnectionError) as error:
            raise LineLost(f"{uri} is gone ({error}): it is dialled until it is back") from error
        finally:
            await connection.close()

    def acknowledge(self, position: Position) -> None:
        """Never called: a service gives no position."""


async def _say(connection: aiohttp.ClientWebSocketResponse, text: str) -> None:
    """The only place where anything leaves. Raises ValueError for what is not on the allow-list: that is a bug of the driver."""
    if not may_send(text):
        raise ValueError(f"{len(text)} characters are not on the allow-list of this driver")
    await connection.send_str(text)


async def _hear(connection: aiohttp.ClientWebSocketResponse, uri: str) -> str | None:
    """The next text; None when there is none for a moment. Raises LineLost once the connection is over."""
    try:
        message = await connection.receive(timeout=TURN)
    except TimeoutError:
        return None
    if message.type is aiohttp.WSMsgType.TEXT:
        return str(message.data)
    if message.type is aiohttp.WSMsgType.BINARY:
        return ""  # no message, and counted as such
    why = str(message.data or message.extra or "closed")[:120]
    raise LineLost(f"{uri} is gone ({why}): it is dialled until it is back")


def _why(uri: str, error: Exception) -> LineLost:
    """What to report for an address that cannot be dialled, with the remedy."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = error.certificate_error
        return LineLost(f"{uri} shows a certificate that is not accepted ({why}): name who signed it under `ca`", "broken")
    if isinstance(error, aiohttp.ClientSSLError):
        return LineLost(f"{uri} does not speak TLS as asked ({error}): is it a ws:// address?", "broken")
    if isinstance(error, aiohttp.ClientConnectorError):
        return why_unreachable(uri, error.os_error)
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return LineLost(f"{uri} answers HTTP {error.status}, and no WebSocket: is this an XFS4IoT address?", "broken")
    return why_unreachable(uri, error)


def open_source(context: Context, settings: Settings) -> Xfs4IotSource:
    """The services as configured. Reads the CA file, dials nothing. Raises ConfigError."""
    tls = None
    if settings.url.startswith("wss:"):
        try:
            tls = ssl.create_default_context(cafile=settings.ca)
        except ssl.SSLError as error:
            raise ConfigError([f"source {context.name}: ca: {settings.ca} holds no certificate in PEM form"]) from error
        except OSError as error:
            raise ConfigError(
                [f"source {context.name}: ca: {settings.ca}: {error.strerror}; name a file that is there"]
            ) from error
    return Xfs4IotSource(context, settings, tls)
