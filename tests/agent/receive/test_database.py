"""Databases: each envelope stands there once, whoever brings it and however often; and what is missing is told."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.cli import main
from agent.encode import ENCODINGS
from agent.errors import EXIT_FAILED, EXIT_OK
from agent.receive.database import Database, clocks, open_database, restore
from agent.receive.intake import Intake
from agent.receive.ledger import Ledger
from agent.receive.mqtt import Broker, Subscriber
from agent.receive.outfile import kept
from agent.receive.place import Place, topic_filter
from agent.records import Envelope
from agent.uplinks import mqtt
from tests.agent.envelopes import alarm, loss, summary
from tests.agent.receive.test_command import LIMIT, Receiver
from tests.servers import HOST, mosquitto, postgres, running

PLACE = ["atm", "gw-1", "alarms"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as where:
        yield where


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path / 'received.db'}"
        return
    address: str = request.getfixturevalue("server")
    yield address
    database = open_database(address)
    list(database.rows("DELETE FROM envelopes RETURNING 1"))
    database.close()


@pytest.fixture
def database(where: str) -> Iterator[Database]:
    opened = open_database(where)
    try:
        yield opened
    finally:
        opened.close()


def take(database: Database, *envelopes: Envelope, lines: list[str] | None = None) -> Intake:
    intake = Intake(database, (lines if lines is not None else []).append, lambda: 1_760_000_100.0)
    for envelope in envelopes:
        intake.take(ENCODINGS["json"], ENCODINGS["json"].encode([envelope]), ["atm", "gw-1", envelope.lane])
    return intake


def test_an_envelope_stands_there_once(database: Database) -> None:
    received = [kept(each, 1.0) for each in (alarm(1), alarm(2), alarm(1))]
    assert [each.position for each in database.append(received)] == [1, 2]
    assert database.append(received) == []
    account = take(database, alarm(1), alarm(3)).account()
    assert (account.received, account.duplicates, account.missing) == (3, 1, 0)


def test_what_another_receiver_has_taken_is_a_duplicate_and_is_not_told_again(database: Database) -> None:
    first: list[str] = []
    second: list[str] = []
    one = take(database, lines=first)
    other = take(database, lines=second)
    for intake in (one, other):
        intake.take(ENCODINGS["cbor"], ENCODINGS["cbor"].encode([alarm(1)]), PLACE)
    assert (len(first), len(second)) == (1, 0)
    other.take(ENCODINGS["cbor"], ENCODINGS["cbor"].encode([alarm(2), alarm(3)]), PLACE)
    assert (one.account().received, one.account().duplicates) == (3, 0)
    assert (other.account().received, other.account().duplicates) == (3, 1)


def test_receivers_that_write_at_once_lose_and_double_nothing(where: str) -> None:
    def receive(offset: int) -> None:
        opened = open_database(where)
        try:
            for start in range(1 + offset * 20, 101, 10):
                opened.append([kept(alarm(position), 1.0) for position in range(start, min(start + 30, 101))])
        finally:
            opened.close()

    threads = [threading.Thread(target=receive, args=(offset,)) for offset in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened = open_database(where)
    ledger = Ledger()
    restore(opened, ledger)
    opened.close()
    assert (ledger.account().received, ledger.account().missing) == (100, 0)


def test_losses_gaps_and_clocks(database: Database) -> None:
    early = msgspec.structs.replace(summary(4), synced=False)
    take(database, alarm(1), loss(2, "summaries", 1, 3), early, summary(7), alarm(4))
    ledger = Ledger()
    restore(database, ledger)
    told = {stream.lane: (stream.highest, stream.received, stream.lost, stream.holes) for stream in ledger.account().streams}
    assert told == {"alarms": (4, 3, 0, ((3, 3),)), "summaries": (7, 2, 3, ((5, 6),))}
    (clock,) = clocks(database)
    assert (clock.gateway, clock.received, clock.unsynced) == ("gw-1", 5, 1)


def test_nothing_is_no_proof(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = f"sqlite:{tmp_path / 'mistyped.db'}"
    assert main(["receive", "verify", where]) == EXIT_FAILED
    assert "mistyped.db: there is no such database" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    open_database(where).close()
    assert main(["receive", "verify", where]) == EXIT_FAILED
    assert "holds nothing that a gateway sent" in capsys.readouterr().err


def test_verify_proves_completeness_by_its_exit_status(
    where: str, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    take(database, alarm(1), alarm(3))
    assert main(["receive", "verify", where]) == EXIT_FAILED
    said = capsys.readouterr().out
    assert "missing 2 to 2, and no loss says why" in said
    assert said.splitlines()[-1] == "1 positions are missing"
    take(database, loss(4, "alarms", 2, 2))
    assert main(["receive", "verify", where, "--json"]) == EXIT_OK
    told = msgspec.json.decode(capsys.readouterr().out)
    assert (told["complete"], told["received"], told["lost"], told["missing"]) == (True, 3, 1, 0)
    assert told["clocks"][0]["gateway"] == "gw-1"
    take(database, alarm(2))
    assert main(["receive", "verify", where]) == EXIT_OK
    assert "gw-1: 4 envelopes, all by a clock that was right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("mysql://x", "no database that this program knows; expected sqlite:FILE or postgresql"),
        ("sqlite:", "no database"),
        ("sqlite:/nowhere/x.db", "there is no such database"),
        ("postgresql://atm:geheim@127.0.0.1:1/x", "is it there, and may this user write to it"),
    ],
)
def test_a_database_that_is_none_is_told_in_one_line(address: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receive", "verify", address]) == EXIT_FAILED
    told = capsys.readouterr().err
    assert message in told
    assert len(told.splitlines()) == 1
    assert "geheim" not in told


@contextlib.contextmanager
def sharing(port: int, name: str, where: str) -> Iterator[None]:
    """A receiver of the group `ingest`, in this process."""
    ready, database = threading.Event(), open_database(where)
    broker = Broker(HOST, port, name, "atm/+/+", share="ingest")
    intake = Intake(database, lambda _: None, lambda: 1_760_000_100.0)
    subscriber = Subscriber(intake, broker, lambda _: None, ready=ready.set, ended=lambda: None)
    try:
        subscriber.start()
        assert ready.wait(LIMIT)
        yield
    finally:
        subscriber.stop()
        database.close()


def stored(where: str) -> int:
    database = open_database(where)
    try:
        return int(next(iter(database.rows("SELECT COUNT(*) FROM envelopes")))[0])
    finally:
        database.close()


async def publish(port: int, gateway: str, positions: range) -> None:
    """All of them, a message each, as an uplink does."""
    settings = mqtt.Settings(f"mqtt://{HOST}:{port}", batch=1, ack_timeout=LIMIT)
    async with mqtt.open_uplink("platform", gateway, settings) as link:
        batch = [msgspec.structs.replace(alarm(position), gateway=gateway) for position in positions]
        while batch:
            accepted = {*(await link.send(batch)).accepted}
            batch = [each for each in batch if each.position not in accepted]


async def test_one_of_two_receivers_that_share_a_fleet_is_killed_and_everything_stands_there_once(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = ["gw-1", "gw-2", "gw-3"]

    async def all_publish(port: int, positions: range) -> None:
        await asyncio.gather(*(publish(port, gateway, positions) for gateway in fleet))

    with running(mosquitto(tmp_path)) as broker:
        url = f"mqtt://{HOST}:{broker.port}"
        arguments = ("mqtt", url, "--share", "ingest", "--client-id", "dies", "--into", where)
        with sharing(broker.port, "lives", where):
            dies = Receiver(tmp_path, *arguments)
            dies.url()
            await all_publish(broker.port, range(1, 31))
            await eventually(lambda: stored(where) == 90)
            dies.process.send_signal(signal.SIGSTOP)  # what it is given from here on it never acknowledges
            await all_publish(broker.port, range(31, 61))
            dies.kill()
            await all_publish(broker.port, range(61, 91))
            await asyncio.sleep(0.1)
            assert main(["receive", "verify", where]) == EXIT_FAILED
            assert stored(where) < 270
            dies = Receiver(tmp_path, *arguments)
            dies.url()
            await eventually(lambda: stored(where) == 270)
            dies.process.terminate()
            dies.process.communicate(timeout=LIMIT)
    capsys.readouterr()
    assert main(["receive", "verify", where]) == EXIT_OK
    said = capsys.readouterr().out
    assert all(f"{gateway}: 90 envelopes" in said for gateway in fleet)
    assert said.splitlines()[-1] == "complete"


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it never came to that")


def test_a_share_needs_a_session_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receive", "mqtt", "mqtt://127.0.0.1:1", "--share", "ingest"]) == EXIT_FAILED
    assert "give each receiver of the group a --client-id of its own" in capsys.readouterr().err


def test_places_by_their_template() -> None:
    assert topic_filter("atm/{tenant}/{machine}/{kind}") == "atm/+/+/+"
    assert topic_filter("atm/+/+") == "atm/+/+"
    place = Place("atm/{tenant}/{machine}/{kind}")
    place.check([alarm(1)], ["atm", "north", "ATM-7", "alarm"])
    place.check([loss(1, "alarms", 1, 1)], ["atm", "north", "gw-1", "loss"])
    for wrong in (["atm", "north", "ATM-8", "alarm"], ["atm", "north", "ATM-7", "summary"]):
        with pytest.raises(ValueError, match="another"):
            place.check([alarm(1)], wrong)
    Place().check([alarm(1)], PLACE)
    with pytest.raises(ValueError, match="another gateway or lane"):
        Place().check([alarm(1)], ["atm", "gw-2", "alarms"])
