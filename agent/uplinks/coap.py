"""CoAP (RFC 7252): a batch is a confirmable POST, and delivered when its 2.xx has come.

coap:// runs over UDP, coaps:// over DTLS with a pre-shared key. POST {path}/{gateway}/{lane} carries envelopes;
POST {path}/{gateway}/status says {"link":"up"} on connecting and {"link":"down"} on leaving, whatever comes back.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from agent.encode import ENCODINGS
from agent.errors import ConfigError, Unreachable
from agent.records import Envelope, Receipt
from agent.settings import Duration, Size
from agent.uplinks.coap_codes import verdict
from agent.uplinks.coap_session import Session
from agent.uplinks.dial import resolve, routable
from agent.uplinks.endpoint import Scheme, parse, secret
from agent.uplinks.portions import Portions, Verdict, at_leisure, check_batch

SCHEMES = {"coap": Scheme(5683, secure=False), "coaps": Scheme(5684, secure=True)}
GOODBYE = 1.0  # s for the last words of a link that is left
MAX_IDENTITY = 32  # bytes that tinydtls takes
MAX_KEY = 16  # bytes that tinydtls takes; it would write a longer one past the end of its buffer


@dataclass(frozen=True, slots=True)
class Settings:
    """One CoAP server, and how this gateway speaks to it."""

    url: str
    """coap:// or coaps:// host[:port][/path]"""
    psk_identity: str = ""
    """The gateway's id when not given."""
    psk_file: Path | None = None
    encoding: Literal["json", "cbor"] = "cbor"
    ack_timeout: Duration = 10.0
    """How long the platform may take for one exchange, a block of a long message too, before the link counts as broken."""
    batch: int = 100
    """Envelopes in one message, at most."""
    batch_bytes: Size = 8 * 1024
    """A block of 1 KiB goes over the line at a time: longer messages are no faster, and an alarm waits longer for its turn."""
    insecure: bool = False
    """Allow coap:// to another machine."""

    def __post_init__(self) -> None:
        endpoint = parse(self.url, SCHEMES, insecure=self.insecure)
        if endpoint.secure and self.psk_file is None:
            raise ValueError("psk_file: coaps:// needs the file of the pre-shared key")
        if not endpoint.secure and (self.psk_file or self.psk_identity):
            raise ValueError("psk_file: psk_file and psk_identity are for coaps://; leave them out, or use coaps://")
        if len(self.psk_identity.encode()) > MAX_IDENTITY:
            raise ValueError(f"psk_identity: longer than {MAX_IDENTITY} bytes, which is what the DTLS library takes")
        check_batch(self.ack_timeout, self.batch, self.batch_bytes)


def open_uplink(name: str, gateway: str, settings: Settings) -> CoapUplink:
    """The uplink, not connected yet."""
    return CoapUplink(name, gateway, settings)


class CoapUplink:
    """See `agent.uplinks.Uplink`."""

    def __init__(self, name: str, gateway: str, settings: Settings) -> None:
        self.name = name
        self._gateway = gateway
        self._settings = settings
        self._endpoint = parse(settings.url, SCHEMES, insecure=settings.insecure)
        self._path = [*filter(None, self._endpoint.path.split("/")), gateway]
        self._encoding = ENCODINGS[settings.encoding]
        self._portions = Portions()
        self._failures = 0
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        psk = self._psk() if self._endpoint.secure else None
        session = await self._open(psk)
        try:
            await self._tell(session, "up")
        except BaseException:
            self._failures += 1
            await session.close()
            raise
        self._session = session
        return self

    async def __aexit__(self, *exc: object) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        try:
            if not session.failed:
                async with asyncio.timeout(GOODBYE):
                    await self._tell(session, "down")
        except (Unreachable, TimeoutError):
            pass  # CoAP has no last will: the platform must notice the silence
        finally:
            await session.close()

    async def send(self, batch: Sequence[Envelope], urgent: Callable[[], bool] = at_leisure) -> Receipt:
        return await self._portions.deliver(batch, self._post, urgent=urgent)

    async def lost(self) -> str:
        """Never returns: a datagram link has no end that could be seen while nothing is sent."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def _open(self, psk: tuple[bytes, bytes] | None) -> Session:
        """A session with one address of the platform: after a failure with the next one, if it has several."""
        timeout = self._settings.ack_timeout
        try:
            async with asyncio.timeout(timeout):
                addresses = routable(await resolve(self._endpoint, socket.SOCK_DGRAM))
        except TimeoutError:
            raise Unreachable(f"{self._endpoint.host}: no answer from the name servers within {timeout:g} s") from None
        if not addresses:
            raise Unreachable(f"{self._endpoint}: this gateway has no route to it; check its network")
        return await Session.open(addresses[self._failures % len(addresses)], self._endpoint.host, timeout, psk)

    async def _tell(self, session: Session, word: str) -> None:
        """Say how the link is. Any answer will do: it proves that the way is open in both directions."""
        try:
            await session.post([*self._path, "status"], f'{{"link":"{word}"}}'.encode(), ENCODINGS["json"].content_format)
        except Unreachable as error:
            raise Unreachable(f"{self._endpoint}: {error}; check the address, the way there and the firewall") from None

    async def _post(self, portion: Sequence[Envelope]) -> Verdict:
        assert self._session is not None, "an uplink is used inside `async with`"
        path = [*self._path, portion[0].lane]
        answer = await self._session.post(path, self._encoding.encode(portion), self._encoding.content_format)
        return verdict(answer, "/" + "/".join(path))

    def _psk(self) -> tuple[bytes, bytes]:
        """Identity and key. Raises ConfigError."""
        owner = f"uplink {self.name}"
        try:
            import DTLSSocket  # noqa: F401, PLC0415  an extra: only who asks for coaps:// must have it
        except ImportError:
            raise ConfigError([f'{owner}: url: coaps:// needs the extra "dtls"; pip install "atm-edge-agent[dtls]"']) from None
        identity = (self._settings.psk_identity or self._gateway).encode()
        assert self._settings.psk_file is not None, "checked by the settings"
        key = secret(owner, "psk_file", self._settings.psk_file)
        if len(key) > MAX_KEY or len(identity) > MAX_IDENTITY:
            bounds = f"a key of {MAX_KEY} bytes and an identity of {MAX_IDENTITY} at most"
            raise ConfigError([f"{owner}: psk_file: the DTLS library takes {bounds}"])
        return identity, key
