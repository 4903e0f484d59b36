"""CoAP (RFC 7252): a batch is a confirmable POST, and delivered when its 2.xx has come.

coap:// runs over UDP, with OSCORE (RFC 8613) where the line is not this machine's own; coaps+tcp:// over TLS (RFC 8323);
coaps:// over DTLS with a pre-shared key. POST {path}/{gateway}/{lane} carries envelopes; POST {path}/{gateway}/status says
{"link":"up"} on connecting and {"link":"down"} on leaving, whatever comes back.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agent.encode import EncodingName, write
from agent.errors import ConfigError, Unreachable
from agent.records import Envelope, Receipt
from agent.settings import Duration, Size
from agent.uplinks import Refused
from agent.uplinks.coap_codes import verdict
from agent.uplinks.coap_session import Session
from agent.uplinks.dial import resolve, routable
from agent.uplinks.endpoint import Scheme, parse, secret, tls_context
from agent.uplinks.portions import Outcome, Portions, Verdict, at_leisure, check_batch

SCHEMES = {
    "coap": Scheme(5683, secure=False),
    "coaps+tcp": Scheme(5684, secure=True),
    "coaps": Scheme(5684, secure=True),
}
GOODBYE = 1.0  # s for the last words of a link that is left
STATUS_FORMAT = 50  # application/json
MAX_IDENTITY = 32  # bytes that tinydtls takes
MAX_KEY = 16  # bytes that tinydtls takes; it would write a longer one past the end of its buffer
BLOCKS = {16 << exponent: exponent for exponent in range(2, 7)}  # bytes of a block that are worth its header (RFC 7959, 2.2)
SMALLEST = (
    4  # exponent of the blocks that silence leads to: 256 bytes pass wherever IP does, and a line that is only slow needs few
)
PATIENT = 50  # blocks that must go well before a larger one is tried again


@dataclass(frozen=True, slots=True)
class Settings:
    """One CoAP server, and how this gateway speaks to it."""

    url: str
    """coap://, coaps+tcp:// or coaps:// host[:port][/path]"""
    oscore: Path | None = None
    """Directory of a security context, for coap://."""
    ca: Path | None = None
    """Trusted CA certificates in PEM, for coaps+tcp://; the system's when not given."""
    certificate: Path | None = None
    key: Path | None = None
    psk_identity: str = ""
    """For coaps://. The gateway's id when not given."""
    psk_file: Path | None = None
    encoding: EncodingName = "cbor"
    compress: bool = False
    """Deflate what gets a tenth shorter by it; the content format says so."""
    request_path: str = ""
    """Below the path of the url and the gateway's id: observed for what the platform asks; empty: nothing is."""
    ack_timeout: Duration = 10.0
    """How long the platform may take for one exchange, a block of a long message too, before the link counts as broken."""
    block: Size = 1024
    """Bytes of a block, at most. It becomes smaller by itself on a path that swallows large packets."""
    batch: int = 100
    """Envelopes in one message, at most."""
    batch_bytes: Size = 8 * 1024
    """A block of 1 KiB goes over the line at a time: longer messages are no faster, and an alarm waits longer for its turn."""
    insecure: bool = False
    """Allow coap:// without OSCORE to another machine."""

    def __post_init__(self) -> None:
        parse(self.url, SCHEMES, insecure=self.insecure or self.oscore is not None, instead="give `oscore`")
        scheme = self.url.partition(":")[0]
        if self.oscore is not None and scheme != "coap":
            raise ValueError("oscore: it is for coap://, which it makes secure from end to end; leave it out, or use coap://")
        if scheme == "coaps" and self.psk_file is None:
            raise ValueError("psk_file: coaps:// needs the file of the pre-shared key")
        if scheme != "coaps" and (self.psk_file or self.psk_identity):
            raise ValueError("psk_file: psk_file and psk_identity are for coaps://; leave them out, or use coaps://")
        if scheme != "coaps+tcp" and (self.ca or self.certificate or self.key):
            raise ValueError("url: ca, certificate and key are for coaps+tcp://; leave them out, or use coaps+tcp://")
        if self.key and not self.certificate:
            raise ValueError("key: there is no certificate for it; give `certificate` too")
        if len(self.psk_identity.encode()) > MAX_IDENTITY:
            raise ValueError(f"psk_identity: longer than {MAX_IDENTITY} bytes, which is what the DTLS library takes")
        if self.compress and self.encoding.startswith("senml"):
            raise ValueError(
                "compress: CoAP has no content format for SenML that is compressed; use json or cbor, or leave it out"
            )
        if self.block not in BLOCKS:
            raise ValueError("block: expected 64B, 128B, 256B, 512B or 1KiB")
        check_batch(self.ack_timeout, self.batch, self.batch_bytes)


def open_uplink(name: str, gateway: str, settings: Settings) -> CoapUplink:
    """The uplink, not connected yet."""
    return CoapUplink(name, gateway, settings)


class CoapUplink:
    """See `agent.uplinks.Uplink`. `on_request` is given each state of the resource that is observed, on the event loop."""

    def __init__(self, name: str, gateway: str, settings: Settings) -> None:
        self.name = name
        self.on_request: Callable[[bytes], None] | None = None
        self._gateway = gateway
        self._settings = settings
        self._endpoint = parse(settings.url, SCHEMES, insecure=True)
        self._path = [*filter(None, self._endpoint.path.split("/")), gateway]
        self._portions = Portions(settings.batch, settings.batch_bytes)
        self._failures = 0
        self._exponent = BLOCKS[settings.block]
        self._went_well = 0  # blocks since the last silence
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        session = await self._open()
        try:
            if self._settings.oscore is not None:
                from agent.uplinks.oscore import Security  # noqa: PLC0415  ten megabytes that only this wants

                session.security = Security.open(f"uplink {self.name}", self._settings.oscore)
            await self._tell(session, "up")
        except BaseException:
            self._failures += 1
            await session.close()
            raise
        if self.on_request is not None and self._settings.request_path:
            session.observe([*self._path, *self._settings.request_path.split("/")], self.on_request)
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
        assert self._session is not None, "an uplink is used inside `async with`"
        return await self._session.lost()

    async def _open(self) -> Session:
        """A session with one address of the platform: after a failure with the next one, if it has several."""
        settings, timeout = self._settings, self._settings.ack_timeout
        if settings.url.startswith("coaps+tcp"):
            tls = tls_context(f"uplink {self.name}", settings.ca, settings.certificate, settings.key)
            return await Session.open_tls(self._endpoint, tls, timeout)
        psk = self._psk() if self._endpoint.secure else None
        try:
            async with asyncio.timeout(timeout):
                addresses = routable(await resolve(self._endpoint, socket.SOCK_DGRAM))
        except TimeoutError:
            raise Unreachable(f"{self._endpoint.host}: no answer from the name servers within {timeout:g} s") from None
        if not addresses:
            raise Unreachable(f"{self._endpoint}: this gateway has no route to it; check its network")
        address = addresses[self._failures % len(addresses)]
        return await Session.open(address, self._endpoint.host, timeout, psk, self._exponent)

    async def _tell(self, session: Session, word: str) -> None:
        """Say how the link is. Any answer will do: it proves that the way is open in both directions."""
        try:
            await session.post([*self._path, "status"], f'{{"link":"{word}"}}'.encode(), STATUS_FORMAT)
        except Refused:
            raise
        except Unreachable as error:
            ours = "`certificate` and `key`, " if self._settings.certificate or self._settings.ca else ""  # it may just hang up
            raise Unreachable(f"{self._endpoint}: {error}; check {ours}the address, the way there and the firewall") from None

    async def _post(self, portion: Sequence[Envelope]) -> Verdict:
        session = self._session
        assert session is not None, "an uplink is used inside `async with`"
        payload, encoding = write(self._settings.encoding, portion, compress=self._settings.compress)
        if self._portions.too_long(portion, len(payload)):
            return Verdict(Outcome.TOO_LONG)
        assert encoding.content_format is not None, "checked by the settings"
        path, before = [*self._path, portion[0].lane], session.blocks
        try:
            answer = await session.post(path, payload, encoding.content_format)
        except Unreachable:
            self._fit_blocks(went_well=0, long=len(payload) > 16 << self._exponent or session.blocks > before)
            raise
        self._fit_blocks(session.blocks - before)
        if answer.size is not None and answer.code == "4.13":  # RFC 7959, 2.9.3
            self._portions.at_most(answer.size)
        return verdict(answer, "/" + "/".join(path))

    def _fit_blocks(self, went_well: int, *, long: bool = False) -> None:
        """A full block that nobody answers may be too large for some link of the path: the next session has smaller ones."""
        if long:
            self._exponent, self._went_well = max(min(SMALLEST, self._exponent), self._exponent - 1), 0
            return
        self._went_well += went_well
        if self._went_well >= PATIENT:
            self._exponent, self._went_well = min(BLOCKS[self._settings.block], self._exponent + 1), 0

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
