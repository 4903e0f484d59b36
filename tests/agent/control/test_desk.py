"""Requests: taken once, written down before they run, answered once, across crashes. The store is a real one on a real disk."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.control import TABLE
from agent.control import desk as desks
from agent.control.commands import COMMANDS, Command, Done, ReadNow
from agent.control.desk import LONGEST, Desk, answered
from agent.control.request import Request, key_id, seal
from agent.errors import AgentError
from agent.records import Answer, Body, Outcome, Stamp
from agent.store import ALARMS
from agent.store.files import OsFiles
from agent.store.history import history
from agent.store.opening import open_durable, open_memory
from agent.store.room import Bounds
from agent.store.writer import Writer

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
KEYS = {key_id(KEY.public_key()): KEY.public_key()}
NOW = 1_800_000_000.0
BOUNDS = Bounds(budget=8 * 1024**2, free_floor=0, keep_days=30.0, keep_bytes=8 * 1024**2)
numbers = count()


class Crash(BaseException):
    """The power is gone."""


class Gateway:
    """A desk over a store in a directory; `again` is the next life of the same gateway."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = NOW
        self.ran: list[object] = []
        self.trail: list[str] = []
        self.steps: Callable[[str], None] = lambda step: None
        self.commands: dict[str, Command] = {"readNow": self.read_now}

    async def read_now(self, arguments: ReadNow) -> Done:
        self.steps("ran")
        self.ran.append(arguments)
        return Done("", {"atm-1/auxiliaries.safeDoor": "closed"}, lambda: self.steps("afterwards"))

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Desk]:
        disk, _ = open_durable(self.directory, "gw", ["one"], BOUNDS, lambda: f"epoch {next(numbers)}", OsFiles())
        documents = disk.recall(TABLE)
        before = answered(each.body for each in history(self.directory, lanes=(ALARMS,)))
        async with Writer(disk, lambda: open_memory("gw", ["one"], BOUNDS, "memory"), ["one"], 0.0) as writer:

            def keep(bodies: Sequence[Body], changes: Mapping[str, Mapping[str, Any]]) -> asyncio.Future[None]:
                state = next((each.get("state", "") for table in changes.values() for each in table.values() if each), "")
                self.steps(f"before {state}")
                return writer.put(bodies, changes, Stamp(self.now, self.now, "boot", True))

            desk = Desk("gw", KEYS, self.commands, keep, lambda: self.now, self.trail.append)
            desk.restore(documents, before)
            yield desk

    def answers(self) -> list[Answer]:
        return [each.body for each in history(self.directory, lanes=(ALARMS,)) if isinstance(each.body, Answer)]


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path / "store")


def token(jti: str = "0123456789", *, key: Ed25519PrivateKey = KEY, **more: Any) -> bytes:
    asked: dict[str, Any] = {"aud": "gw", "iat": NOW, "exp": NOW + 60.0, "command": "readNow", "arguments": {}, **more}
    return seal(Request(jti=jti, **asked), key)


async def test_a_request_is_done_once_and_answered(gateway: Gateway) -> None:
    async with gateway.life() as desk:
        await desk.handle(token())
    assert gateway.ran == [ReadNow()]
    assert gateway.answers() == [
        Answer("gw", NOW, "0123456789", "readNow", Outcome.DONE, "", {"atm-1/auxiliaries.safeDoor": "closed"})
    ]
    assert gateway.trail == ["request 0123456789: readNow"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"aud": "gw-2"}, "for another gateway"),
        ({"iat": NOW - 60.0, "exp": NOW}, "after its time"),
        ({"iat": NOW - 9e4, "exp": NOW - 9e4 + 60.0}, "after its time"),
        ({"iat": NOW + 301.0, "exp": NOW + 400.0}, "later time"),
        ({"exp": NOW + LONGEST + 1.0}, "for more than 7 days"),
        ({"iat": NOW + 100.0, "exp": NOW + 99.0}, "good for no time"),
        ({"key": OTHER}, "none of this gateway's"),
    ],
)
async def test_what_is_not_for_us_or_not_in_time_is_not_even_answered(
    gateway: Gateway, changes: dict[str, Any], why: str
) -> None:
    async with gateway.life() as desk:
        await desk.handle(token(**changes))
        assert desk.refused == 1
    assert gateway.ran == []
    assert gateway.answers() == []
    assert why in gateway.trail[0]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"command": "dispense"}, "no such command"),
        ({"command": "shell", "arguments": {"line": "id"}}, "no such command"),
        ({"arguments": {"path": "/etc/shadow"}}, "unknown field `path`"),
        ({"arguments": {"machine": 7}}, "Expected `str"),
        ({"command": "serviceWindow", "arguments": {"machine": "a", "minutes": 1441}}, "<= 1440"),
        ({"command": "flush"}, "configured without flush"),
    ],
)
async def test_what_is_not_on_the_list_is_answered_and_never_runs(gateway: Gateway, changes: dict[str, Any], why: str) -> None:
    async with gateway.life() as desk:
        await desk.handle(token(**changes))
    [answer] = gateway.answers()
    assert answer.outcome is Outcome.REFUSED
    assert why in answer.text
    assert gateway.ran == []


def test_nothing_on_the_list_moves_cash_or_takes_a_path() -> None:
    assert set(COMMANDS) == {
        "readNow", "diagnostics", "setConfiguration", "installModel", "rollBackModel", "serviceWindow", "flush", "restart",
    }  # fmt: skip
    fields = {field for kind in COMMANDS.values() for field in kind.__struct_fields__}
    assert fields == {"machine", "yaml", "model", "signature", "shadow", "name", "minutes", "start", "who"}


@pytest.mark.parametrize("lives", [1, 2])
async def test_a_replay_is_refused_in_this_life_and_the_next(gateway: Gateway, lives: int) -> None:
    async with gateway.life() as desk:
        await desk.handle(token())
        if lives == 1:
            await desk.handle(token())
    if lives == 2:
        async with gateway.life() as desk:
            await desk.handle(token())
    assert len(gateway.ran) == len(gateway.answers()) == 1
    assert "seen before" in gateway.trail[-1]


async def test_a_replay_is_refused_when_its_id_is_forgotten_and_the_clock_set_back(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desks, "LIMIT", 10)
    async with gateway.life() as desk:
        await desk.handle(token())
        gateway.now += 100.0
        await desk.handle(token("another-one", iat=NOW + 90.0, exp=NOW + 200.0))
    gateway.now = NOW
    async with gateway.life() as desk:
        await desk.handle(token())
    assert len(gateway.ran) == 2
    assert "after its time" in gateway.trail[-1]


async def test_no_more_ids_are_remembered_than_there_is_room_for(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "LIMIT", 3)
    async with gateway.life() as desk:
        for number in range(5):
            await desk.handle(token(f"request-{number}"))
    assert len(gateway.ran) == 3
    assert "3 requests are remembered already" in gateway.trail[-1]


async def test_two_at_once_with_one_id_run_once(gateway: Gateway) -> None:
    async with gateway.life() as desk:
        await asyncio.gather(desk.handle(token()), desk.handle(token()))
    assert len(gateway.ran) == len(gateway.answers()) == 1


async def test_two_at_once_run_one_after_the_other(gateway: Gateway) -> None:
    running, both = asyncio.Semaphore(1), asyncio.Event()

    async def exclusive(arguments: ReadNow) -> Done:
        assert not running.locked()
        async with running:
            await asyncio.sleep(0)
        return Done(afterwards=both.set if gateway.answers() else None)

    gateway.commands["readNow"] = exclusive
    async with gateway.life() as desk:
        task = asyncio.create_task(desk.run())
        desk.take(token("request-1"))
        desk.take(token("request-2"))
        await both.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert {answer.outcome for answer in gateway.answers()} == {Outcome.DONE}


async def test_a_flood_is_turned_away(gateway: Gateway) -> None:
    async with gateway.life() as desk:
        for number in range(desks.QUEUE + 5):
            desk.take(token(f"request-{number}"))
        assert desk.refused == 5


@pytest.mark.parametrize(
    ("step", "outcomes", "runs"),
    [
        ("before taken", [], 0),  # nothing was written down: it never came
        ("ran", [Outcome.INTERRUPTED], 0),
        ("before answered", [Outcome.INTERRUPTED], 1),
        ("afterwards", [Outcome.DONE], 1),
    ],
)
async def test_a_crash_anywhere_leaves_one_answer_and_no_second_run(
    gateway: Gateway, step: str, outcomes: list[Outcome], runs: int
) -> None:
    def crash(reached: str) -> None:
        if reached == step:
            raise Crash

    gateway.steps = crash
    with pytest.raises(Crash):
        async with gateway.life() as desk:
            await desk.handle(token())
    gateway.steps = lambda step: None
    for _ in range(2):
        async with gateway.life() as desk:
            pass
    assert [answer.outcome for answer in gateway.answers()] == outcomes
    assert len(gateway.ran) == runs
    if outcomes:
        async with gateway.life() as desk:
            await desk.handle(token())
        assert len(gateway.answers()) == 1


async def test_a_crash_between_the_answer_and_the_note_of_it_gives_no_second_answer(gateway: Gateway) -> None:
    async with gateway.life() as desk:
        await desk.handle(token())
    disk, _ = open_durable(gateway.directory, "gw", ["one"], BOUNDS, lambda: "epoch", OsFiles())
    document = disk.recall(TABLE)["0123456789"]
    disk.remember({TABLE: {"0123456789": {**document, "state": desks.TAKEN}}})
    disk.close()
    async with gateway.life():
        pass
    assert [answer.outcome for answer in gateway.answers()] == [Outcome.DONE]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AgentError("machine: no machine is called so; known is atm-1"), "machine: no machine is called so; known is atm-1"),
        (OSError(errno.ENOSPC, "No space left on device"), "[Errno 28] No space left on device"),
        (AgentError("x" * 100_000), "x" * desks.TEXT_LIMIT + " …"),
    ],
)
async def test_a_command_that_fails_says_why(gateway: Gateway, error: Exception, text: str) -> None:
    async def fail(arguments: ReadNow) -> Done:
        raise error

    gateway.commands["readNow"] = fail
    async with gateway.life() as desk:
        await desk.handle(token())
    [answer] = gateway.answers()
    assert (answer.outcome, answer.text) == (Outcome.FAILED, text)


async def test_a_command_that_takes_for_ever_is_given_up(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(arguments: ReadNow) -> Done:
        monkeypatch.setattr(desks, "PATIENCE", 5.0)
        await asyncio.Event().wait()
        return Done()

    gateway.commands["readNow"] = hang
    async with gateway.life() as desk:
        monkeypatch.setattr(desks, "PATIENCE", 0.3)
        await desk.handle(token())
    [answer] = gateway.answers()
    assert answer.outcome is Outcome.FAILED
    assert "given up" in answer.text


async def test_what_a_disk_that_refuses_cannot_write_down_does_not_run(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    async with gateway.life() as desk:
        with monkeypatch.context() as full:
            full.setattr(desks, "PATIENCE", 0.05)
            full.setattr(os, "pwrite", refuse)
            await desk.handle(token())
    assert gateway.ran == []
    assert [answer.outcome for answer in gateway.answers()] == [Outcome.FAILED]  # the disk came back in time to keep it


async def test_a_journal_that_was_lost_lets_nothing_run_twice(gateway: Gateway) -> None:
    async with gateway.life() as desk:
        await desk.handle(token())
    (gateway.directory / "state.journal").unlink()
    gateway.now += 10.0
    for _ in range(2):  # in the next life too
        async with gateway.life() as desk:
            await desk.handle(token())
        gateway.now += 10.0
    assert len(gateway.ran) == 1
    assert "the journal of the requests was lost" in gateway.trail[1]
    assert [line for line in gateway.trail if "from before the journal was lost" in line] == [gateway.trail[2], gateway.trail[3]]
    async with gateway.life() as desk:
        await desk.handle(token("1234567890", iat=NOW + 20.0, exp=NOW + 90.0))
    assert len(gateway.ran) == 2
