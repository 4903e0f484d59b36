"""The page's server over real HTTP on loopback: who may see, who may change, and what never passes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent.errors import ConfigError
from agent.web.door import MOST as MOST_CONNECTIONS
from agent.web.server import FILES, HEADERS, STATIC, Page
from agent.web.sessions import FREE_TRIES, IDLE, LIFE, LONGEST_WAIT, MOST, Sessions
from agent.web.settings import WebSettings
from tests.agent.web.site import State

SECRET = "correct horse battery"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def served(
    tmp_path: Path, *, secret: str | None = SECRET, clock: Clock | None = None, **more: Any
) -> AsyncIterator[tuple[State, aiohttp.ClientSession]]:
    file = None
    if secret is not None:
        file = tmp_path / "secret"
        file.write_text(secret + "\n")
    state = State()
    async with Page(WebSettings(listen="127.0.0.1:0", secret_file=file, **more), state, clock or Clock()) as page:
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address, which browsers keep and this client does not by itself
        async with aiohttp.ClientSession(f"http://127.0.0.1:{page.port}", cookie_jar=jar) as browser:
            yield state, browser


async def post(browser: aiohttp.ClientSession, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    async with browser.post(path, json=body, headers=headers) as answer:
        return answer.status, json.loads(await answer.read())


async def status(browser: aiohttp.ClientSession, path: str, **headers: str) -> int:
    async with browser.get(path, headers=headers) as answer:
        return answer.status


async def first_event(browser: aiohttp.ClientSession) -> dict[str, Any]:
    async with browser.get("/api/events") as stream:
        assert stream.status == 200
        line = await stream.content.readline()
        return json.loads(line.removeprefix(b"data: "))  # type: ignore[no-any-return]


async def test_every_file_comes_with_its_locks(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, browser):
        for name in FILES:
            async with browser.get(f"/{name}") as answer:
                assert answer.status == 200
                for header, value in HEADERS.items():
                    assert answer.headers[header] == value
        async with browser.get("/nothing.html") as answer:
            assert answer.status == 404
            assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


def test_no_file_asks_for_anything_outside() -> None:
    for name in ("index.html", "page.css", "page.js", "machine.js", "curves.js", "words.js"):
        text = (STATIC / name).read_text()
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        assert "innerHTML" not in text


@pytest.mark.parametrize("path", ["/../settings.py", "/%2e%2e/settings.py", "/static/index.html", "/..%2fsettings.py"])
async def test_no_path_leads_elsewhere(tmp_path: Path, path: str) -> None:
    async with served(tmp_path) as (_, browser):
        assert await status(browser, path) == 404


async def test_nobody_sees_or_changes_anything_before_signing_in(tmp_path: Path) -> None:
    async with served(tmp_path) as (state, browser):
        for path in ("/api/events", "/api/curves?machine=atm-1"):
            assert await status(browser, path) == 401
        assert (await post(browser, "/api/service", {"machine": "atm-1", "minutes": 60}))[0] == 401
        assert (await post(browser, "/api/sign-in", {"secret": "wrong"}))[0] == 403
        assert state.announced == []
        assert state.trail == ["page: a wrong secret from 127.0.0.1"]
        assert "wrong" not in state.trail[0].removeprefix("page: a wrong secret")


async def test_a_technician_signs_in_announces_a_visit_and_leaves(tmp_path: Path) -> None:
    async with served(tmp_path) as (state, browser):
        assert (await post(browser, "/api/sign-in", {"secret": SECRET}))[0] == 200
        assert (await first_event(browser))["mayAnnounce"]
        assert await post(browser, "/api/service", {"machine": "atm-1", "minutes": 60}) == (200, {})
        code, answer = await post(browser, "/api/service", {"machine": "atm-9", "minutes": 60})
        assert (code, answer["error"]) == (400, "machine: no machine is called 'atm-9'")
        assert (await post(browser, "/api/sign-out", {}))[0] == 200
        assert await status(browser, "/api/curves?machine=atm-1") == 401
    assert state.announced == [("atm-1", 60)]
    assert [line.partition(" from ")[0] for line in state.trail] == [
        "page: signed in", "page: service window of 60 minutes at atm-1,", "page: signed out",
    ]  # fmt: skip


async def test_the_cookie_is_of_no_use_to_a_script_or_another_site(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, browser), browser.post("/api/sign-in", json={"secret": SECRET}) as answer:
        cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


async def test_without_a_secret_there_is_only_a_look(tmp_path: Path) -> None:
    async with served(tmp_path, secret=None) as (state, browser):
        assert not (await first_event(browser))["mayAnnounce"]
        assert (await post(browser, "/api/service", {"machine": "atm-1", "minutes": 60}))[0] == 403
        assert (await post(browser, "/api/sign-in", {"secret": ""}))[0] == 404
    assert state.announced == []


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        ({"machine": "atm-1", "minutes": 60}, {"Origin": "http://evil.example"}, 403),
        ({"machine": "atm-1", "minutes": 60}, {"Host": "evil.example"}, 403),
        ({"machine": "atm-1", "minutes": 481}, {}, 400),
        ({"machine": "atm-1", "minutes": True}, {}, 400),
        ({"machine": ["atm-1"], "minutes": 1}, {}, 400),
        ([], {}, 400),
        ({"machine": "a" * 5_000, "minutes": 1}, {}, 413),
    ],
)
async def test_what_another_site_or_a_broken_browser_sends_is_refused(
    tmp_path: Path, body: Any, headers: dict[str, str], code: int
) -> None:
    async with served(tmp_path) as (state, browser):
        await post(browser, "/api/sign-in", {"secret": SECRET})
        assert (await post(browser, "/api/service", body, **headers))[0] == code
        async with browser.post("/api/service", data={"machine": "atm-1", "minutes": "1"}) as answer:
            assert answer.status == 415
        assert state.announced == []


async def test_a_ninth_page_is_turned_away(tmp_path: Path) -> None:
    async with served(tmp_path, secret=None) as (_, browser):
        streams = [await browser.get("/api/events") for _ in range(8)]
        assert await status(browser, "/api/events") == 503
        for stream in streams:
            stream.close()


async def knock(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def test_connections_that_are_held_open_neither_take_the_agents_files_nor_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.web.door.PATIENCE", 0.2)
    async with served(tmp_path) as (_, browser):
        port = browser._base_url.port  # type: ignore[union-attr]
        assert port is not None
        assert await status(browser, "/") == 200
        held = [await knock(port) for _ in range(MOST_CONNECTIONS + 20)]
        halves = [await knock(port) for _ in range(3)]
        for _, half in halves:
            half.write(b"GET / HTTP/1.1\r\nHost: 127")
        # some at once, the others when they have asked nothing for so long
        for reader, writer in (*held, *halves):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        assert await status(browser, "/") == 200


async def test_a_request_that_never_comes_to_its_end_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.web.server.PATIENCE", 0.05)
    async with served(tmp_path) as (_, browser):
        reader, writer = await knock(browser._base_url.port or 0)  # type: ignore[union-attr]
        head = "POST /api/sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        writer.write(head.encode())
        assert b"408" in await reader.readline()
        writer.close()


SIGN_IN = b"POST /api/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        SIGN_IN + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        SIGN_IN + b"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\n\x1f\x8bnot gzip..",
        b"\x16\x03\x01\x02\x00",
    ],
    ids=["two hosts", "two lengths", "not gzip", "TLS"],
)
async def test_what_is_no_http_is_a_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture, request_: bytes) -> None:
    async with served(tmp_path) as (_, browser):
        reader, writer = await knock(browser._base_url.port or 0)  # type: ignore[union-attr]
        writer.write(request_)
        assert b" 400 " in await reader.readline()
        writer.close()
    assert not any(record.exc_info for record in caplog.records)


async def test_a_session_of_somebody_elses_making_is_not_taken_over(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, browser):
        async with browser.post("/api/sign-in", json={"secret": SECRET}, cookies={"session": "chosen-by-the-attacker"}) as answer:
            assert answer.cookies["session"].value != "chosen-by-the-attacker"
        chosen = {"Cookie": "session=chosen-by-the-attacker"}
        async with aiohttp.ClientSession(headers=chosen) as other, other.get(browser._base_url / "api/curves") as answer:  # type: ignore[operator]
            assert answer.status == 401


def test_guessing_becomes_slow_for_everybody() -> None:
    clock = Clock()
    sessions = Sessions(SECRET, clock)
    for _ in range(FREE_TRIES):
        assert sessions.sign_in("guess") is None
    assert sessions.wait() == 1.0
    assert sessions.sign_in(SECRET) is None  # not even looked at
    tries = 0
    begun = clock.now
    while clock.now - begun < 86_400.0:
        clock.now += sessions.wait()
        sessions.sign_in("guess")
        tries += 1
    assert tries < 86_400.0 / LONGEST_WAIT + 12
    clock.now += sessions.wait()
    assert sessions.sign_in(SECRET) is not None


def test_sessions_end_and_are_few() -> None:
    clock = Clock()
    sessions = Sessions(SECRET, clock)
    tokens = [sessions.sign_in(SECRET) or "" for _ in range(MOST + 1)]
    assert [sessions.is_open(token) for token in tokens] == [False] + [True] * MOST
    clock.now += IDLE + 1
    assert not sessions.is_open(tokens[-1])
    token = sessions.sign_in(SECRET) or ""
    for _ in range(int(LIFE / IDLE) + 1):
        clock.now += IDLE - 1
        last = sessions.is_open(token)
    assert not last


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"listen": "0.0.0.0:8443"}, "can be reached from outside"),
        ({"listen": "192.168.1.5:80"}, "can be reached from outside"),
        ({"listen": "8480"}, "expected an address and a port"),
        ({"listen": "127.0.0.1:99999"}, "expected an address and a port"),
        ({"listen": "unix:web.sock"}, "an absolute path"),
        ({"certificate": Path("a.pem")}, "goes with key"),
    ],
)
def test_a_page_that_would_be_open_to_anybody_cannot_be_configured(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        WebSettings(**settings)


@pytest.mark.parametrize("secret", ["", "short", "elevenchars"])
def test_a_weak_secret_is_refused_with_the_remedy(tmp_path: Path, secret: str) -> None:
    (tmp_path / "secret").write_text(secret)
    with pytest.raises(ConfigError, match="openssl rand"):
        Page(WebSettings(secret_file=tmp_path / "secret"), State())


async def test_an_address_in_use_is_one_clear_line(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, browser):
        taken = WebSettings(listen=f"127.0.0.1:{browser._base_url.port}")  # type: ignore[union-attr]
        with pytest.raises(ConfigError, match="name an address that is free"):
            async with Page(taken, State()):
                pass


@pytest.fixture
def identity(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=gw", "-addext",
             "subjectAltName=IP:127.0.0.1", "-addext", "keyUsage=critical,keyCertSign,digitalSignature",
             "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True)
    return certificate, key


async def test_over_tls_the_cookie_stays_there(tmp_path: Path, identity: tuple[Path, Path]) -> None:
    certificate, key = identity
    (tmp_path / "secret").write_text(SECRET)
    settings = WebSettings(listen="127.0.0.1:0", certificate=certificate, key=key, secret_file=tmp_path / "secret")
    trust = ssl.create_default_context(cafile=certificate)
    async with Page(settings, State()) as page, aiohttp.ClientSession() as browser:
        url = f"https://127.0.0.1:{page.port}/api/sign-in"
        async with browser.post(url, json={"secret": SECRET}, ssl=trust) as answer:
            assert answer.status == 200
            assert answer.headers["Set-Cookie"].startswith("__Host-session=")
            assert "Secure" in answer.headers["Set-Cookie"]
            assert "Domain" not in answer.headers["Set-Cookie"]
            cookies = {"__Host-session": answer.cookies["__Host-session"].value}
        url = f"https://127.0.0.1:{page.port}/api/curves"
        async with browser.get(url, ssl=trust, cookies=cookies) as answer:
            assert answer.status == 200
    with pytest.raises(ConfigError, match="name a certificate and its key"):
        async with Page(WebSettings(listen="127.0.0.1:0", certificate=key, key=key), State()):
            pass


async def test_a_unix_socket_is_for_its_owner_and_group(tmp_path: Path) -> None:
    socket = tmp_path / "web.sock"
    async with Page(WebSettings(listen=f"unix:{socket}"), State()):
        assert socket.stat().st_mode & 0o777 == 0o660
        connector = aiohttp.UnixConnector(str(socket))
        async with aiohttp.ClientSession("http://localhost", connector=connector) as browser:
            assert await status(browser, "/") == 200
    assert not socket.exists()
