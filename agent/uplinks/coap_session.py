"""One CoAP association: confirmable POSTs, block by block where they are long (RFC 7252, RFC 7959), over aiocoap.

Each exchange has its own limit, so that a long message over a slow line is no silent link, and a silent peer is found at the
block where it went silent.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Any

import aiocoap
import aiocoap.error
from aiocoap.message import UndecidedRemote

from agent.errors import Unreachable
from agent.uplinks.coap_codes import Answer
from agent.uplinks.dial import Address

EXPONENT = 6  # blocks of 1024 bytes, the largest that CoAP over UDP has (RFC 7959, 2.2)
RETRANSMISSIONS = 4  # MAX_RETRANSMIT of RFC 7252, 4.8
FIRST_WAIT = 1 / 8  # of the limit of an exchange: the third retransmission comes before it is over
TEXT = 120  # characters of a diagnostic payload that are worth repeating


logging.getLogger("coap").setLevel(logging.ERROR)  # aiocoap warns of every odd datagram; whoever sends them must not fill a log


class Session:
    """From the first message to the closed socket; a fresh one for every connection."""

    def __init__(self, context: Any, address: Address, secure: bool, host: str, ack_timeout: float) -> None:
        self._context = context
        ip, port = address[1][:2]
        hostinfo = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
        self._remote: Any = UndecidedRemote("coaps" if secure else "coap", hostinfo)
        self._host = None if host == ip else host
        self._ack_timeout = ack_timeout
        self._exponent = EXPONENT
        self._tuning = aiocoap.TransportTuning()
        self._tuning.ACK_TIMEOUT = ack_timeout * FIRST_WAIT
        self._tuning.MAX_RETRANSMIT = RETRANSMISSIONS
        self._tuning.reliability = True
        self.failed = ""  # why nothing can be sent any more

    @classmethod
    async def open(cls, address: Address, host: str, ack_timeout: float, psk: tuple[bytes, bytes] | None) -> Session:
        """A session with an address; with `psk`, identity and key, over DTLS. Nothing is sent yet."""
        context = await aiocoap.Context.create_client_context(transports=["tinydtls" if psk else plain_transport()])
        if psk is not None:
            context.client_credentials.load_from_dict({"*": {"dtls": {"client-identity": psk[0], "psk": psk[1]}}})
        return cls(context, address, psk is not None, host, ack_timeout)

    async def close(self) -> None:
        """Let go of the socket and of everything that hangs on it."""
        self.failed = self.failed or "the link was left"
        self._remote = None
        await self._context.shutdown()

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
            if response.code != aiocoap.CONTINUE:
                return _answer(response)
            if not more:
                raise self._fail("the platform asks for more after the last block")
            offset += size

    def _message(self, path: Sequence[str], block: bytes, content_format: int, offset: int, total: int) -> Any:
        message = aiocoap.Message(code=aiocoap.POST, payload=block, transport_tuning=self._tuning)
        message.opt.uri_path = tuple(path)
        message.opt.content_format = content_format
        message.remote = self._remote
        if self._host is not None:
            message.opt.uri_host = self._host
        if len(block) < total:
            message.opt.block1 = (offset >> (self._exponent + 4), offset + len(block) < total, self._exponent)
            if offset == 0:
                message.opt.size1 = total
        return message

    async def _exchange(self, message: Any) -> Any:
        if self.failed:
            raise Unreachable(self.failed)
        request = self._context.request(message, handle_blockwise=False)
        try:
            async with asyncio.timeout(self._ack_timeout):
                response = await request.response
        except TimeoutError:
            raise self._fail(f"no answer within {self._ack_timeout:g} s") from None
        except aiocoap.error.Error as error:
            raise self._fail(_reason(error)) from None
        self._remote = response.remote
        return response

    def _fail(self, why: str) -> Unreachable:
        self.failed = why
        return Unreachable(why)


def _answer(response: Any) -> Answer:
    text = response.payload[:TEXT].decode(errors="replace") if not response.code.is_successful() else ""
    return Answer(response.code.dotted, " ".join(text.split()), response.opt.max_age)


def _reason(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(cause, OSError):
        return cause.strerror or str(cause)
    if isinstance(error, aiocoap.error.MessageError):
        return "the platform answers with a reset"
    return str(error) or type(error).__name__


def plain_transport() -> str:
    """aiocoap's name for CoAP over UDP as this kernel can do it: its better one needs IPv6 sockets, for IPv4 too."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return "simple6"
    return "udp6"
