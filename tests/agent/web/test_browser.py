"""The page in a real browser: signing in, living, an alarm arriving, a phone's width, three languages, hostile text."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from agent.web import server
from agent.web.settings import WebSettings
from tests.agent.web.site import EVIL, State, alarm, machine

SECRET = "correct horse battery"
pytestmark = pytest.mark.asyncio(loop_scope="module")  # one browser for all
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]  # fmt: skip


@dataclass
class Seen:
    """A page, and everything that a page should not have."""

    page: Page
    state: State
    url: str
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "EVERY", 0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    assert program, "chromium is not installed; tests/servers_installed.py does it"
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield opened
        await opened.close()


@asynccontextmanager
async def opened(
    browser: Browser, tmp_path: Path, *, width: int = 1200, locale: str = "en-GB", state: State | None = None
) -> AsyncIterator[Seen]:
    (tmp_path / "secret").write_text(SECRET)
    state = state or State()
    async with server.Page(WebSettings(listen="127.0.0.1:0", secret_file=tmp_path / "secret"), state) as served:
        url = f"http://127.0.0.1:{served.port}"
        context = await browser.new_context(viewport={"width": width, "height": 800}, locale=locale, bypass_csp=False)
        page = await context.new_page()
        seen = Seen(page, state, url)
        page.on("console", lambda message: seen.errors.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("request", lambda request: seen.outside.append(request.url) if not request.url.startswith(url) else None)
        await page.goto(url)
        yield seen
        assert seen.outside == []
        await context.close()


async def sign_in(seen: Seen) -> None:
    await expect(seen.page.locator("#secret")).to_be_focused()
    await seen.page.keyboard.type(SECRET)
    await seen.page.keyboard.press("Enter")
    await expect(seen.page.locator("#machine")).to_be_visible()


async def test_a_technician_signs_in_sees_it_live_and_announces_a_visit_by_keyboard_alone(
    browser: Browser, tmp_path: Path
) -> None:
    async with opened(browser, tmp_path) as seen:
        page, state = seen.page, seen.state
        await sign_in(seen)
        await expect(page.locator("#gateway")).to_have_text("gw-0017")
        await expect(page.locator("#drawing [data-part=safe]")).to_have_class("part good")
        await expect(page.locator("#cash")).to_contain_text("€43,300.00 in the machine · lasts: 4.5 days")
        await expect(page.locator("#cash-curve canvas")).to_be_visible()
        state.machines[0]["points"]["auxiliaries.safeDoor"] = "tampered"
        state.alarms.append(alarm(state.at, "Somebody drills into the safe."))
        await expect(page.locator("#drawing [data-part=safe]")).to_have_class("part bad")
        await expect(page.locator("#alarms li").first).to_contain_text("Somebody drills into the safe.")
        await page.locator("#minutes").focus()
        await page.keyboard.press("Control+A")
        await page.keyboard.type("45")
        await page.keyboard.press("Enter")
        await expect(page.locator("#notice")).to_have_text("")
        await page.locator("#sign-out").click()
        await expect(page.locator("#sign-in")).to_be_visible()
        await expect(page.locator("#machine")).to_be_hidden()
        assert state.announced == [("atm-1", 45)]
        assert seen.errors == []


async def test_a_wrong_secret_is_said(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path) as seen:
        await seen.page.locator("#secret").fill("wrong")
        await seen.page.keyboard.press("Enter")
        await expect(seen.page.get_by_role("alert")).to_have_text("that is not the secret")
        await expect(seen.page.locator("#machine")).to_be_hidden()


async def test_a_phone_shows_everything_without_scrolling_sideways(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path, width=360) as seen:
        await sign_in(seen)
        await expect(seen.page.locator("#cash-curve canvas")).to_be_visible()
        assert await seen.page.evaluate("document.documentElement.scrollWidth") <= 360
        controls = "[...document.querySelectorAll('main button, main input, main select')]"
        assert await seen.page.evaluate(f"{controls}.filter(e => e.offsetHeight && e.offsetHeight < 40).length") == 0
        assert seen.errors == []


@pytest.mark.parametrize(("locale", "words"), [("en-GB", "Alarms"), ("de-DE", "Alarme"), ("zh-CN", "告警")])
async def test_it_speaks_the_browsers_language(browser: Browser, tmp_path: Path, locale: str, words: str) -> None:
    async with opened(browser, tmp_path, locale=locale) as seen:
        await sign_in(seen)
        await expect(seen.page.locator("#t-alarms")).to_have_text(words)
        await seen.page.locator("#language").select_option("de")
        await expect(seen.page.locator("#t-alarms")).to_have_text("Alarme")
        assert await seen.page.evaluate("document.documentElement.lang") == "de"
        assert seen.errors == []


async def test_no_text_of_a_device_becomes_markup(browser: Browser, tmp_path: Path) -> None:
    evil = machine(EVIL)
    evil["points"] |= {EVIL: EVIL, "auxiliaries.safeDoor": EVIL, "environment.temperature_c": EVIL, "machine.visit": EVIL}
    evil["cash"] = {"currency": EVIL, "value": 1}
    evil["cassettes"] = {EVIL: {"count": EVIL, "of": EVIL, "value": 1, "currency": EVIL, "status": EVIL}}
    state = State(machines=[evil, machine()])
    state.alarms.append(
        {**alarm(state.at, EVIL), "machine": EVIL, "rule": EVIL, "class": EVIL, "attack": EVIL, "evidence": [[EVIL, EVIL, 1.0]]}
    )
    view = state.view
    state.view = lambda: {**view(), "gateway": EVIL, "uplinks": {EVIL: EVIL}, "sources": {EVIL: EVIL}, "store": EVIL}  # type: ignore[method-assign]
    async with opened(browser, tmp_path, state=state) as seen:
        await sign_in(seen)
        await expect(seen.page.locator("#alarms li").first).to_contain_text("<img src=x")
        await seen.page.locator("#alarms summary").first.click()
        assert await seen.page.locator("body img").count() == 0
        assert await seen.page.locator("body script").count() == 0
        assert "owned" not in await seen.page.evaluate("document.title.replaceAll(\"'owned'\", '')")
        assert seen.errors == []


async def test_it_comes_back_by_itself(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path) as seen:
        await sign_in(seen)
        await seen.page.context.set_offline(True)
        await seen.page.evaluate("dispatchEvent(new Event('offline'))")
        await seen.page.context.set_offline(False)
        await seen.page.reload()
        await expect(seen.page.locator("#machine")).to_be_visible()  # the session goes on


async def test_every_control_has_a_name_and_every_table_its_heads(browser: Browser, tmp_path: Path) -> None:
    async with opened(browser, tmp_path) as seen:
        await sign_in(seen)
        shown = "[...document.querySelectorAll('button, input, select')].filter(e => e.offsetParent)"
        named = "e.innerText?.trim() || e.labels?.[0]?.innerText.trim()"
        assert await seen.page.evaluate(f"{shown}.filter(e => !({named})).length") == 0
        assert await seen.page.locator("table:not(.u-legend):not(:has(th[scope=col]))").count() == 0
        assert await seen.page.locator("#drawing").get_attribute("aria-hidden") == "true"
        assert await seen.page.locator("[role=alert]").count() == 1
