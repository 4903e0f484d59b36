"""What an operator's request does to the running agent, and what the page is shown of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config.settings import GatewaySettings, MachineSettings, ModelSettings, Settings, StoreSettings
from agent.control import commands
from agent.control.commands import COMMANDS
from agent.errors import AgentError, ConfigError, ModelRefused
from agent.records import Alarm, CashPosition, EventClass, Severity, Summary
from agent.requests import Requests
from agent.running import Running
from agent.scoring.shelf import Shelf, shelf_of
from agent.stages.calendar import Visit
from agent.stages.cash import Cassette
from agent.view import CURVE_POINTS, View, curves
from tests.agent.scoring import graphs

NOW = 1_800_000_000.0


class Site:
    """A running agent as plain callables."""

    def __init__(self, room: Path, models: tuple[ModelSettings, ...] = ()) -> None:
        cassettes = {"unit1": Cassette(5_000, "EUR", capacity=2_000)}
        self.settings = Settings(
            GatewaySettings("gw"),
            (MachineSettings("atm-1", cassettes=cassettes),),
            models=models,
            store=StoreSettings(room / "store"),
        )
        self.values: dict[str, dict[str, Any]] = {
            "gw": {"gateway.store": "ok"},
            "atm-1": {"auxiliaries.safeDoor": "closed", "storage.unit1.count": 850, "machine.cash": 4_250_000},
        }
        self.done: list[Any] = []
        running = Running(
            settings=lambda: self.settings,
            now=lambda: NOW,
            values=lambda: self.values,
            announce=lambda machine, visit: self.done.append((machine, visit)),
            configure=self.configure,
            flush=lambda: self.done.append("flush"),
            stop=lambda: self.done.append("stop"),
            backlog=lambda: {"alarms": 2},
            store_word=lambda: "ok",
            audit=lambda *words: self.done.append(words),
        )
        self.requests = Requests(running, lambda: 0.0)
        self.view = View(running, self.requests)

    async def configure(self, text: str, by: str) -> list[str]:
        if text == "bad":
            raise ConfigError(["configuration:1: is empty; expected settings"])
        self.done.append((text, by))
        return ["source board: changed"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_every_command_on_the_list_is_carried_out_by_somebody(site: Site) -> None:
    assert site.requests.by_name().keys() == COMMANDS.keys()


async def test_reading_and_diagnosing(site: Site) -> None:
    everything = (await site.requests.read_now(commands.ReadNow())).result or {}
    assert everything["atm-1/auxiliaries.safeDoor"] == "closed"
    assert everything["gw/gateway.store"] == "ok"
    assert (await site.requests.read_now(commands.ReadNow("atm-1"))).result == {
        f"atm-1/{point}": value for point, value in site.values["atm-1"].items()
    }
    assert (await site.requests.diagnostics(commands.Diagnostics())).result == {"gateway.store": "ok"}
    with pytest.raises(AgentError, match="known are atm-1"):
        await site.requests.read_now(commands.ReadNow("atm-9"))


async def test_a_configuration_says_what_changed_or_what_is_wrong(site: Site) -> None:
    done = await site.requests.set_configuration(commands.SetConfiguration("good"))
    assert (done.text, site.done) == ("source board: changed", [("good", "control")])
    with pytest.raises(AgentError, match="configuration:1: is empty"):
        await site.requests.set_configuration(commands.SetConfiguration("bad"))


@pytest.mark.parametrize(
    ("asked", "visit"),
    [
        (commands.ServiceWindow("atm-1", 60, who="locksmith"), Visit(NOW, NOW + 3_600.0, "locksmith")),
        (commands.ServiceWindow("atm-1", 30, start=NOW + 60.0), Visit(NOW + 60.0, NOW + 1_860.0, "")),
        (commands.ServiceWindow("atm-1", 0), None),
    ],
)
async def test_somebody_is_announced(site: Site, asked: commands.ServiceWindow, visit: Visit | None) -> None:
    await site.requests.service_window(asked)
    assert site.done == [("atm-1", visit)]


@pytest.mark.parametrize(
    "asked",
    [
        commands.ServiceWindow("atm-9", 60),
        commands.ServiceWindow("atm-1", 60, start=NOW - 4_000.0),
        commands.ServiceWindow("atm-1", 60, start=NOW + 1e9),
        commands.ServiceWindow("atm-1", 60, start=float("nan")),
    ],
)
async def test_nobody_is_announced_for_a_day_that_is_over_or_far_away(site: Site, asked: commands.ServiceWindow) -> None:
    with pytest.raises(AgentError):
        await site.requests.service_window(asked)
    assert site.done == []


async def test_the_agent_ends_only_when_the_answer_is_kept(site: Site) -> None:
    done = await site.requests.restart(commands.Restart())
    assert site.done == []
    assert done.afterwards is not None
    done.afterwards()
    await site.requests.flush(commands.Flush())
    assert site.done == ["stop", "flush"]


async def test_a_signed_model_goes_on_the_shelf_and_any_other_does_not(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = tmp_path / "operator.pem"
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    file = graphs.put(tmp_path, graphs.model())
    data = file.read_bytes()
    with pytest.raises(AgentError, match="nobody's signature is trusted"):
        await Site(tmp_path).requests.install_model(commands.InstallModel(data, key.sign(data)))
    name = file.stem
    site = Site(tmp_path, (ModelSettings(name, keys=(public,), budget=5.0),))
    with pytest.raises(ModelRefused, match="signature"):
        await site.requests.install_model(commands.InstallModel(data, bytes(64)))
    done = await site.requests.install_model(commands.InstallModel(data, key.sign(data)))
    assert "on the shelf" in done.text
    shelf = Shelf(shelf_of(site.settings.store.path))
    assert shelf.row(name).current is not None
    await site.requests.roll_back_model(commands.RollBackModel(name))
    assert shelf.row(name).current is None
    another = Site(tmp_path, (ModelSettings("another", keys=(public,), budget=5.0),))
    with pytest.raises(AgentError, match="no model of that name"):
        await another.requests.install_model(commands.InstallModel(data, key.sign(data)))


def summary(number: int, score: float | None = None) -> Summary:
    end = NOW + 60.0 * number
    return Summary("atm-1", end - 60.0, end, 1.0, {}, CashPosition("EUR", 100 * number, {}), {"risk": score} if score else None)


def test_the_page_sees_machines_links_and_alarms_newest_first(site: Site) -> None:
    for number in range(60):
        text = f"alarm {number}"
        alarm = Alarm("atm-1", NOW + number, "drilling", EventClass.SECURITY, Severity.FATAL, "p", 1.0, (), text)
        site.view.note([alarm, summary(number)])
    audit = Alarm("gw", NOW + 99.0, "audit.page", EventClass.SECURITY, Severity.ROUTINE, "gateway.page", "noted", ())
    site.view.note([audit])
    shown = site.view.view()
    assert [alarm["text"] for alarm in shown["alarms"][:2]] == ["alarm 59", "alarm 58"]
    assert len(shown["alarms"]) == 50
    [machine] = shown["machines"]
    assert machine["cash"] == {"currency": "EUR", "value": 4_250_000}
    assert machine["cassettes"]["unit1"] == {"count": 850, "of": 2_000, "value": 5_000, "currency": "EUR", "status": None}
    assert shown["backlog"] == {"alarms": 2}


def test_a_curve_is_short_and_keeps_the_highest_score() -> None:
    found = curves([summary(number, 0.9 if number == 777 else 0.1) for number in range(5_000)])
    assert len(found["at"]) <= CURVE_POINTS
    assert max(found["curves"]["risk"]) == 0.9
    assert curves([]) == {"at": [], "curves": {}}
    assert curves([summary(1), summary(2, 0.5)])["curves"]["risk"] == [None, 0.5]


async def test_curves_of_a_store_that_is_not_there_are_empty(site: Site) -> None:
    both = await asyncio.gather(site.view.curves("atm-1", 3_600.0), site.view.curves("atm-9", 3_600.0))
    assert list(both) == [{"at": [], "curves": {}}] * 2
    await site.view.service("atm-1", 30)
    site.view.audit("page: a wrong secret from 127.0.0.1")
    assert site.done == [
        ("atm-1", Visit(NOW, NOW + 1_800.0, "page")),
        ("page", "refused", "page", "a wrong secret from 127.0.0.1"),
    ]
