"""One CoAP association: confirmable POSTs, block by block where they are long (RFC 7252, RFC 7959), over aiocoap.

One exchange at a time (NSTART 1, RFC 7252, 4.7), each with its own limit: a long message over a slow line is no silent link, and
a silent peer is found at the block where it went silent. With OSCORE each block is protected for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import aiocoap
import aiocoap.error
from aiocoap.message import UndecidedRemote

from agent.errors import Unreachable
from agent.uplinks import Refused
from agent.uplinks.coap_codes import Answer
from agent.uplinks.dial import Address
from agent.uplinks.endpoint import Endpoint

if TYPE_CHECKING:
    from agent.uplinks.oscore import Security

EXPONENT = 6  # blocks of 1024 bytes, the largest that CoAP over UDP has (RFC 7959, 2.2)
RETRANSMISSIONS = 4  # MAX_RETRANSMIT of RFC 7252, 4.8
FIRST_WAIT = 1 / 8  # of the limit of an exchange: the third retransmission comes before it is over
TEXT = 120  # characters of a diagnostic payload that are worth repeating
FRESH = 60.0  # s that a notification is fresh when it does not say so (RFC 7252, 5.10.5)
LATE = 10.0  # s on top: then an observation is taken for forgotten, and made anew
GONE = "the connection is gone"
HALF = "it calls a message done of which it has only a part, so it puts no blocks together"
WHOLE = "let it do so (RFC 7959), or set `batch_bytes: 1KiB`"
AGAIN = 5.0  # s before a request for observation that failed is made again


logging.getLogger("coap").setLevel(logging.ERROR)  # aiocoap warns of every odd datagram; whoever sends them must not fill a log


class Session:
    """From the first message to the closed socket; a fresh one for every connection."""

    def __init__(self, context: Any, remote: Any, host: str | None, ack_timeout: float, exponent: int) -> None:
        """`host` is told to the server where the remote has no name; blocks have 2 to the (4 + `exponent`) bytes at most."""
        self._context = context
        self._remote = remote
        self._host = host
        self._ack_timeout = ack_timeout
        self._exponent = exponent
        self.security: Security | None = None
        self.blocks = 0  # that were answered, of long messages
        self._observing: asyncio.Task[None] | None = None
        self._tuning = aiocoap.TransportTuning()
        self._tuning.ACK_TIMEOUT = ack_timeout * FIRST_WAIT
        self._tuning.MAX_RETRANSMIT = RETRANSMISSIONS
        self._tuning.reliability = True
        self.failed = ""  # why nothing can be sent any more
        self._ended: asyncio.Event | None = None  # of a connection; a datagram link has no end that could be seen

    @classmethod
    async def open(
        cls, address: Address, host: str, ack_timeout: float, psk: tuple[bytes, bytes] | None, exponent: int = EXPONENT
    ) -> Session:
        """A session with an address; with `psk`, identity and key, over DTLS. Nothing is sent yet."""
        context = await aiocoap.Context.create_client_context(transports=["tinydtls" if psk else plain_transport()])
        if psk is not None:
            context.client_credentials.load_from_dict({"*": {"dtls": {"client-identity": psk[0], "psk": psk[1]}}})
        ip, port = address[1][:2]
        hostinfo = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
        remote = UndecidedRemote("coaps" if psk else "coap", hostinfo)
        return cls(context, remote, None if host == ip else host, ack_timeout, exponent)

    @classmethod
    async def open_tls(cls, endpoint: Endpoint, tls: ssl.SSLContext, ack_timeout: float) -> Session:
        """A session over TLS (RFC 8323). Raises Unreachable or Refused."""
        from agent.uplinks.coap_tls import open_connection  # noqa: PLC0415  and what it needs of aiocoap

        context = aiocoap.Context(loop=asyncio.get_running_loop(), loggername="coap")
        try:
            remote = await open_connection(context, endpoint, tls, ack_timeout)
        except BaseException:
            await context.shutdown()
            raise
        session = cls(context, remote, None, ack_timeout, EXPONENT)
        session._ended = remote.lost
        return session

    async def close(self) -> None:
        """Let go of the socket and of everything that hangs on it."""
        self.failed = self.failed or "the link was left"
        if self._observing is not None:
            self._observing.cancel()
            await asyncio.gather(self._observing, return_exceptions=True)
        self._remote = None
        await self._context.shutdown()
        if self.security is not None:
            self.security.close()

    async def lost(self) -> str:
        """Return, with the reason, when the connection is gone."""
        if self._ended is not None:
            await self._ended.wait()
            return GONE
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def post(self, path: Sequence[str], payload: bytes, content_format: int) -> Answer:
        """POST a payload, and the platform's answer to the whole of it. Raises Unreachable."""
        offset = 0
        while True:
            size = 16 << self._exponent
            block = payload[offset : offset + size]
            more = offset + size < len(payload)
            response = await self._exchange(self._message(path, block, content_format, offset, len(payload)))
            offered = response.opt.block1
            smaller = offered is not None and offered.size_exponent < self._exponent
            if smaller:
                self._exponent = offered.size_exponent
            if response.code == aiocoap.REQUEST_ENTITY_TOO_LARGE and smaller and offset == 0:
                continue
            if len(payload) > size:
                self.blocks += 1
            if response.code != aiocoap.CONTINUE:
                if more and response.code.is_successful():
                    raise Refused(f"/{'/'.join(path)}: {HALF} ({response.code.dotted}); {WHOLE}")
                return _answer(response)
            if not more:
                raise self._fail("the platform asks for more after the last block")
            offset += size

    def observe(self, path: Sequence[str], deliver: Callable[[bytes], None]) -> None:
        """Observe a resource (RFC 7641) as long as the session lasts: `deliver` is given each of its states, once."""
        self._observing = asyncio.create_task(self._observe(path, deliver), name="coap: requests of the platform")

    async def _observe(self, path: Sequence[str], deliver: Callable[[bytes], None]) -> None:
        last: bytes | None = None
        while not self.failed:
            with contextlib.suppress(aiocoap.error.Error, TimeoutError, Unreachable):
                async for payload in self._states(path):
                    if payload and payload != last:  # an observation that is made anew begins with what is known
                        deliver(payload)
                    last = payload
            await asyncio.sleep(AGAIN)

    async def _states(self, path: Sequence[str]) -> Any:
        message = self._request(aiocoap.GET, path)
        message.opt.observe = 0
        outer, request_id = self.security.protect(message) if self.security else (message, None)
        outer.remote = self._remote
        request = self._context.request(outer, handle_blockwise=False)
        states = aiter(request.observation)
        try:
            async with asyncio.timeout(self._ack_timeout):
                response = await _answer_to(request)
            while True:
                inner = self.security.unprotect(response, request_id) if self.security else response
                if not inner.code.is_successful():
                    return
                yield inner.payload
                fresh = inner.opt.max_age if inner.opt.max_age is not None else FRESH
                async with asyncio.timeout(fresh + LATE):
                    response = await anext(states)
        finally:
            if not request.observation.cancelled:
                request.observation.cancel()

    def _request(self, code: Any, path: Sequence[str], payload: bytes = b"") -> Any:
        message = aiocoap.Message(code=code, payload=payload, transport_tuning=self._tuning)
        message.opt.uri_path = tuple(path)
        if self._host is not None:
            message.opt.uri_host = self._host
        return message

    def _message(self, path: Sequence[str], block: bytes, content_format: int, offset: int, total: int) -> Any:
        message = self._request(aiocoap.POST, path, block)
        message.opt.content_format = content_format
        if len(block) < total:
            message.opt.block1 = (offset >> (self._exponent + 4), offset + len(block) < total, self._exponent)
            if offset == 0:
                message.opt.size1 = total
        return message

    async def _exchange(self, message: Any) -> Any:
        """The platform's response to a message; with OSCORE, to the message that only it could read."""
        if self.security is None:
            return await self._carry(message)
        for _ in range(2):
            outer, request_id = self.security.protect(message)
            try:
                response = self.security.unprotect(await self._carry(outer), request_id)
            except Unreachable as error:
                self.failed = self.failed or str(error)
                raise
            if response.code != aiocoap.UNAUTHORIZED or response.opt.echo is None:
                return response
            message.opt.echo = response.opt.echo  # the server has forgotten what it has seen (RFC 8613, B.1.2)
        raise self._fail("the platform asks for an Echo again and again; is its clock or its security context sound?")

    async def _carry(self, message: Any) -> Any:
        if self.failed:
            raise Unreachable(self.failed)
        if self._ended is not None and self._ended.is_set():
            raise self._fail(GONE)
        message.remote = self._remote
        request = self._context.request(message, handle_blockwise=False)
        try:
            async with asyncio.timeout(self._ack_timeout):
                response = await _answer_to(request)
        except TimeoutError:
            raise self._fail(f"no answer within {self._ack_timeout:g} s") from None
        except aiocoap.error.Error as error:
            if isinstance(error.__cause__, ssl.SSLError):  # with TLS 1.3 a client certificate is judged after the handshake
                self.failed = f"TLS: {error.__cause__.reason}; check `certificate` and `key`"
                raise Refused(self.failed) from None
            raise self._fail(_reason(error)) from None
        self._remote = response.remote
        return response

    def _fail(self, why: str) -> Unreachable:
        self.failed = why
        return Unreachable(why)


async def _answer_to(request: Any) -> Any:
    """The response to a request. It is never cancelled: to aiocoap a response that comes in that moment is an error."""
    request.response.add_done_callback(lambda response: response.cancelled() or response.exception())  # nobody may wait any more
    return await asyncio.shield(request.response)


def _answer(response: Any) -> Answer:
    text = response.payload[:TEXT].decode(errors="replace") if not response.code.is_successful() else ""
    return Answer(response.code.dotted, " ".join(text.split()), response.opt.max_age, response.opt.size1)


def _reason(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(cause, OSError):
        return (cause.strerror or str(cause)).partition(" (")[0]
    if isinstance(error, aiocoap.error.MessageError):
        return "the platform answers with a reset"
    if isinstance(error, aiocoap.error.NetworkError):
        return GONE
    return str(error) or type(error).__name__


def plain_transport() -> str:
    """aiocoap's name for CoAP over UDP as this kernel can do it: its better one needs IPv6 sockets, for IPv4 too."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return "simple6"
    return "udp6"
