"""A gateway that is asked: requests signed by the operator, and the page, over the whole agent as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

import pytest

from agent.records import Alarm, Answer, Outcome
from tests.end_to_end.site import REPOSITORY, Site, until
from tests.servers import free_port

SECRET = "correct horse battery"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "operator.key", tmp_path / "operator.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)], check=True)
    subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
    return private, public


def atm_agent(*words: object, stdin: str = "") -> str:
    command = [sys.executable, "-m", "agent", *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=True).stdout


def ask(config: Path, key: Path, *words: object, gateway: str = "gw") -> None:
    token = atm_agent("control", "sign", "--key", key, "--gateway", gateway, *words)
    assert atm_agent("control", "send", "-", "--config", config, stdin=token).startswith("the agent has it")


def answers(site: Site) -> list[Answer]:
    return [each.body for each in site.stored() if isinstance(each.body, Answer)]


def trail(site: Site) -> list[Any]:
    return [each.body.value for each in site.stored() if isinstance(each.body, Alarm) and each.body.rule == "audit.control"]


def test_signed_requests_are_answered_through_the_store(site: Site, keys: tuple[Path, Path]) -> None:
    private, public = keys
    good = site.room / "good.yaml"
    config = site.configure([], control={"keys": [str(public)]})
    site.machine("--scenario", "normal_week")
    agent = site.start("agent.log", "agent", "run", str(config), "--good", str(good))
    until(lambda: site.point("auxiliaries.safeDoor") is not None, agent)
    ask(config, private, "readNow", "machine=ATM")
    until(lambda: len(answers(site)) == 1, agent)
    assert answers(site)[0].outcome is Outcome.DONE
    assert (answers(site)[0].result or {})["ATM/auxiliaries.safeDoor"] in ("closed", "locked", "bolted")
    changed = site.room / "changed.yaml"
    changed.write_text(json.dumps(json.loads(config.read_text()) | {"rules": {"disable": ["lineErrors"]}}))
    ask(config, private, "setConfiguration", f"yaml=@{changed}")
    ask(config, private, "setConfiguration", "yaml=sources: [")
    ask(config, private, "serviceWindow", "machine=ATM", "minutes=30")
    ask(config, private, "readNow", gateway="another")
    until(lambda: "refused" in trail(site), agent)
    assert [(answer.command, answer.outcome) for answer in answers(site)[1:]] == [
        ("setConfiguration", Outcome.DONE), ("setConfiguration", Outcome.FAILED), ("serviceWindow", Outcome.DONE),
    ]  # fmt: skip
    assert answers(site)[1].text == "rules, cleaning or windows: changed"
    assert answers(site)[2].text.startswith("configuration:")
    ask(config, private, "restart")
    assert agent.running.wait(60) == 0
    assert answers(site)[-1].command == "restart"
    again = site.start("again.log", "agent", "run", str(config), "--good", str(good))
    until(lambda: site.point("gateway.configuration", "gw") == "applied", again)
    assert b"lineErrors" in (site.room / "received.yaml").read_bytes()
    assert len(answers(site)) == 5
    assert again.stop() == 0


def test_the_page_shows_the_running_agent(site: Site) -> None:
    (site.room / "secret").write_text(SECRET)
    port = free_port()
    web = {"listen": f"127.0.0.1:{port}", "secret_file": str(site.room / "secret")}
    agent = site.agent(site.configure([], web=web))
    site.machine("--scenario", "normal_week", "--skip", "12h")
    until(lambda: site.point("auxiliaries.safeDoor") is not None, agent)
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    url = f"http://127.0.0.1:{port}"
    post(browser, f"{url}/api/sign-in", {"secret": SECRET})
    with browser.open(f"{url}/api/events") as stream:
        state = json.loads(stream.readline().removeprefix(b"data: "))
    assert state["gateway"] == "gw"
    assert state["machines"][0]["points"]["auxiliaries.safeDoor"] in ("closed", "locked", "bolted")
    post(browser, f"{url}/api/service", {"machine": "ATM", "minutes": 60})
    with browser.open(f"{url}/api/curves?machine=ATM&span=6h") as answer:
        assert set(json.load(answer)) == {"at", "curves"}
    assert agent.stop() == 0
    rules = [each.body.rule for each in site.stored() if isinstance(each.body, Alarm)]
    assert rules.count("audit.page") == 2


def post(browser: OpenerDirector, url: str, body: dict[str, Any]) -> None:
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with browser.open(request) as answer:
        assert answer.status == 200
