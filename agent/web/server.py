"""The page's server: a few files, the state as server-sent events, curves, and the service window."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
from aiohttp import web
from aiohttp.http import HttpProcessingError

from agent.errors import AgentError, ConfigError
from agent.web.door import PATIENCE, Door
from agent.web.sessions import Sessions
from agent.web.settings import WebSettings

STATIC = Path(__file__).with_name("static")
FILES = {
    "": ("index.html", "text/html"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "machine.js": ("machine.js", "text/javascript"),
    "curves.js": ("curves.js", "text/javascript"),
    "words.js": ("words.js", "text/javascript"),
    "uPlot.min.css": ("uPlot.min.css", "text/css"),
    "uPlot.iife.min.js": ("uPlot.iife.min.js", "text/javascript"),
}
HEADERS = {
    # nothing but what comes from here, no inline script or style, no frame around it, no form to elsewhere
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
COOKIE = "session"
OPEN_TO_ALL = ("/api/session", "/api/sign-in")
BODY_LIMIT = 4_096  # bytes of what a browser sends
WATCHERS = 8  # event streams at once
EVERY = 1.0  # s between two looks for news
ALIVE = 15.0  # s after which a stream without news says that it lives
SPANS = {"6h": 6 * 3_600.0, "1d": 86_400.0, "7d": 7 * 86_400.0}
SHORTEST_SECRET = 12
SIGNED_IN = web.RequestKey("signed_in", bool)


def _in_one_line(record: logging.LogRecord) -> bool:
    """What is no HTTP is a line of the log: anybody who reaches the page could fill it with pages of what aiohttp makes of it."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args, record.exc_info = "a request that is no HTTP: %s", (type(error).__name__,), None
    return True


logging.getLogger("aiohttp.server").addFilter(_in_one_line)


class Gateway(Protocol):
    """What the page asks of the agent."""

    def view(self) -> dict[str, Any]:
        """The state as JSON: gateway, at, machines, uplinks, backlog, alarms."""

    async def curves(self, machine: str, span: float) -> dict[str, Any]:
        """Cash and scores of a machine over the last so many seconds: `at` and a list of the same length for each name."""

    async def service(self, machine: str, minutes: int) -> None:
        """Announce somebody for so many minutes; 0 ends it. Raises AgentError when there is no such machine."""

    def audit(self, text: str) -> None:
        """Write down what somebody did here."""


class Page:
    """Serve it: `async with Page(...)`."""

    def __init__(self, settings: WebSettings, gateway: Gateway, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._gateway = gateway
        self._sessions = Sessions(_secret(settings.secret_file), now) if settings.secret_file is not None else None
        # over TLS browsers let nobody else set a cookie of such a name (RFC 6265bis, 4.1.3)
        self._cookie = f"__Host-{COOKIE}" if settings.certificate is not None else COOKIE
        self._watchers = 0
        self._ending = asyncio.Event()
        app = web.Application(middlewares=[self._guard], client_max_size=BODY_LIMIT)
        app.router.add_get("/{file:[A-Za-z.]*}", self._file)
        app.router.add_get("/api/session", self._session)
        app.router.add_get("/api/events", self._events, allow_head=False)
        app.router.add_get("/api/curves", self._curves)
        app.router.add_post("/api/sign-in", self._sign_in)
        app.router.add_post("/api/sign-out", self._sign_out)
        app.router.add_post("/api/service", self._service)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0, keepalive_timeout=PATIENCE)
        self._door: Door
        self.port = 0
        """Of the listening socket, once it listens; 0 for a Unix socket."""

    async def __aenter__(self) -> Page:
        """Listen. Raises ConfigError when certificate or address cannot be used."""
        tls = _tls(self._settings)
        await self._runner.setup()
        assert self._runner.server is not None
        try:
            bound = self._bind()
            self._door = await Door(self._runner.server, bound, tls).__aenter__()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError([f"web.listen: {self._settings.listen}: {error.strerror}; name an address that is free"]) from error
        return self

    def _bind(self) -> socket.socket:
        path = self._settings.socket
        if path is None:
            host, port = self._settings.address
            bound = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
            self.port = bound.getsockname()[1]
            return bound
        path.unlink(missing_ok=True)  # of a run that was killed
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(str(path))
            path.chmod(0o660)
        except OSError:
            bound.close()
            raise
        return bound

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        await self._door.__aexit__()
        await self._runner.cleanup()
        if self._settings.socket is not None:
            self._settings.socket.unlink(missing_ok=True)

    # What every request passes ------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self._door.asked(request.transport)
        try:
            response = await self._answer(request, handler)
        except web.HTTPException as refusal:
            response = web.json_response({"error": refusal.text or refusal.reason}, status=refusal.status)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if self._settings.local and not _names_this_box(request.host):
            raise web.HTTPForbidden(text="open this page by the address 127.0.0.1 or localhost")  # DNS rebinding
        sessions = self._sessions
        signed_in = sessions is not None and sessions.is_open(request.cookies.get(self._cookie, ""))
        request[SIGNED_IN] = signed_in
        if request.method == "POST":
            _require_own_page(request)
        if request.path.startswith("/api/") and request.path not in OPEN_TO_ALL and sessions is not None and not signed_in:
            raise web.HTTPUnauthorized(text="sign in first")
        return await handler(request)

    # Requests -----------------------------------------------------------------------------------------------------------

    async def _file(self, request: web.Request) -> web.StreamResponse:
        found = FILES.get(request.match_info["file"])
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=(STATIC / found[0]).read_bytes(), content_type=found[1], charset="utf-8")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._watchers >= WATCHERS:
            raise web.HTTPServiceUnavailable(text=f"{WATCHERS} pages are open already; close one")
        stream = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await stream.prepare(request)
        self._watchers += 1
        try:
            await self._stream(request, stream)
        except ConnectionError:
            pass  # the browser has gone
        finally:
            self._watchers -= 1
        return stream

    async def _stream(self, request: web.Request, stream: web.StreamResponse) -> None:
        before, quiet = b"", 0.0
        while not self._ending.is_set():
            if self._sessions is not None and not self._sessions.is_open(request.cookies.get(self._cookie, "")):
                await stream.write(b"event: signedOut\ndata: {}\n\n")
                return
            state = msgspec.json.encode({**self._gateway.view(), "mayAnnounce": request[SIGNED_IN]})
            if state != before:
                await stream.write(b"data: " + state + b"\n\n")
                before, quiet = state, 0.0
            elif quiet >= ALIVE:
                await stream.write(b": alive\n\n")
                quiet = 0.0
            quiet += EVERY
            try:
                async with asyncio.timeout(EVERY):
                    await self._ending.wait()
            except TimeoutError:
                pass

    async def _session(self, request: web.Request) -> web.StreamResponse:
        return _json({"signIn": self._sessions is not None and not request[SIGNED_IN]})

    async def _curves(self, request: web.Request) -> web.StreamResponse:
        machine, span = request.query.get("machine", ""), SPANS.get(request.query.get("span", "1d"))
        if span is None:
            raise web.HTTPBadRequest(text=f"span: expected one of {', '.join(SPANS)}")
        return _json(await self._gateway.curves(machine, span))

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        if self._sessions is None:
            raise web.HTTPNotFound(text="no secret is configured; web.secret_file names one")
        asked = await _document(request)
        wait = self._sessions.wait()
        if wait > 0.0:
            raise web.HTTPTooManyRequests(text=f"too many wrong secrets; try again in {wait:.0f} s")
        secret = asked.get("secret")
        token = self._sessions.sign_in(secret) if isinstance(secret, str) else None
        if token is None:
            self._gateway.audit(f"page: a wrong secret from {_peer(request)}")
            raise web.HTTPForbidden(text="that is not the secret")
        self._gateway.audit(f"page: signed in from {_peer(request)}")
        response = _json({})
        secure = self._settings.certificate is not None
        response.set_cookie(self._cookie, token, httponly=True, samesite="Strict", secure=secure, path="/")
        return response

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        if self._sessions is not None:
            self._sessions.sign_out(request.cookies.get(self._cookie, ""))
            self._gateway.audit(f"page: signed out from {_peer(request)}")
        response = _json({})
        response.del_cookie(self._cookie, path="/", secure=self._settings.certificate is not None)
        return response

    async def _service(self, request: web.Request) -> web.StreamResponse:
        if not request[SIGNED_IN]:
            raise web.HTTPForbidden(text="sign in to announce a visit; web.secret_file names the secret")
        asked = await _document(request)
        machine, minutes = asked.get("machine"), asked.get("minutes")
        if not isinstance(machine, str) or type(minutes) is not int or not 0 <= minutes <= 480:
            raise web.HTTPBadRequest(text="expected a machine and 0 to 480 minutes")
        try:
            await self._gateway.service(machine, minutes)
        except AgentError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        self._gateway.audit(f"page: service window of {minutes} minutes at {machine}, from {_peer(request)}")
        return _json({})


def _names_this_box(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return name.strip("[]") in {"127.0.0.1", "localhost", "::1", ""}


def _require_own_page(request: web.Request) -> None:
    """Nothing is changed on behalf of another site's page: it has another origin, and it cannot send JSON without asking."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise web.HTTPForbidden(text="that came from another site")
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="expected application/json")


async def _document(request: web.Request) -> dict[str, Any]:
    try:
        async with asyncio.timeout(PATIENCE):
            body = await request.read()
        return msgspec.json.decode(body, type=dict[str, Any])
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the request did not come to its end") from None
    except (web.RequestPayloadError, ConnectionError):
        raise web.HTTPBadRequest(text="the request broke off, or is not coded as it says") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise web.HTTPBadRequest(text="expected a JSON object") from None


def _json(document: dict[str, Any]) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")


def _peer(request: web.Request) -> str:
    return request.remote or "the local socket"


def _secret(path: Path) -> str:
    try:
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            [f"web.secret_file: {path}: {getattr(error, 'strerror', None) or 'is no text'}; name a file with the secret"]
        ) from error
    if len(secret) < SHORTEST_SECRET:
        remedy = "make one with: openssl rand -base64 18"
        raise ConfigError(
            [f"web.secret_file: {path}: has {len(secret)} characters, a secret has {SHORTEST_SECRET} at least; {remedy}"]
        )
    return secret


def _tls(settings: WebSettings) -> ssl.SSLContext | None:
    if settings.certificate is None or settings.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(
            [f"web.certificate: {settings.certificate} with {settings.key}: {why}; name a certificate and its key in PEM"]
        ) from error
    return context
