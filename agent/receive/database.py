"""A database that received envelopes are written to, each once however often it comes and whichever receiver takes it.

One table, whose primary key is an envelope's identity; SQLite in a file, or PostgreSQL. What `append` has returned is on a disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from agent.receive.ledger import Ledger
from agent.receive.outfile import Kept
from agent.records import Body, Loss

COLUMNS = ("gateway", "epoch", "lane", "position", "boot", "mono", "at", "synced", "kind", "body", "received_at")
TABLE = """CREATE TABLE IF NOT EXISTS envelopes (
    gateway TEXT NOT NULL, epoch TEXT NOT NULL, lane TEXT NOT NULL, position BIGINT NOT NULL,
    boot TEXT NOT NULL, mono DOUBLE PRECISION NOT NULL, at DOUBLE PRECISION NOT NULL, synced BOOLEAN NOT NULL,
    kind TEXT NOT NULL, body TEXT NOT NULL, received_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (gateway, epoch, lane, position))"""
RUNS = """SELECT gateway, epoch, lane, MIN(position), MAX(position) FROM (
    SELECT gateway, epoch, lane, position,
           position - ROW_NUMBER() OVER (PARTITION BY gateway, epoch, lane ORDER BY position) AS run FROM envelopes) AS numbered
    GROUP BY gateway, epoch, lane, run ORDER BY gateway, epoch, lane, MIN(position)"""
LOSSES = "SELECT gateway, epoch, body FROM envelopes WHERE kind = 'loss'"
CLOCKS = """SELECT gateway, COUNT(*), SUM(CASE WHEN synced THEN 0 ELSE 1 END), MAX(received_at) FROM envelopes
    GROUP BY gateway ORDER BY gateway"""
PATIENCE = 30.0  # s that one write may wait for another receiver's

_encode = msgspec.json.Encoder().encode
_body = msgspec.json.Decoder(Body).decode


class Clock(NamedTuple):
    """How far a gateway's times can be trusted: envelopes, how many of them were stored by a clock that nothing kept right."""

    gateway: str
    received: int
    unsynced: int
    last_received_at: float


class Database(Protocol):
    """Where received envelopes are kept. Raises OSError when it refuses."""

    def append(self, received: Sequence[Kept]) -> list[Kept]:
        """Store them; they are on a disk on return. Returns those that were not there yet."""

    def rows(self, query: str) -> Iterator[tuple[Any, ...]]: ...

    def close(self) -> None:
        """Called once, last."""


def open_database(where: str) -> Database:
    """`sqlite:FILE` or `postgresql://…`. Raises ValueError("what is wrong; what would be right"), or OSError."""
    scheme, _, rest = where.partition(":")
    if scheme == "sqlite" and rest:
        return Sqlite(Path(rest.removeprefix("//")))
    if scheme in ("postgresql", "postgres"):
        from agent.receive.postgres import Postgres  # noqa: PLC0415  an extra: only who asks for it must have it

        return Postgres(where)
    raise ValueError(f"{scheme!r} is no database that this program knows; expected sqlite:FILE or postgresql://HOST/NAME")


def row(kept: Kept) -> tuple[Any, ...]:
    """The columns of an envelope."""
    return (
        kept.gateway, kept.epoch, kept.lane, kept.position, kept.boot, kept.mono, kept.at, kept.synced, kept.kind,
        _encode(kept.body).decode(), kept.received_at,
    )  # fmt: skip


def restore(database: Database, ledger: Ledger) -> None:
    """Enter everything that a database holds."""
    for gateway, epoch, lane, first, last in database.rows(RUNS):
        ledger.restore(gateway, epoch, lane, first, last)
    for gateway, epoch, body in database.rows(LOSSES):
        loss = _body(body)
        if isinstance(loss, Loss):
            ledger.lose(gateway, epoch, loss)


def clocks(database: Database) -> list[Clock]:
    """What can be said of each gateway's clock."""
    return [Clock(gateway, int(count), int(unsynced), last) for gateway, count, unsynced, last in database.rows(CLOCKS)]


class Sqlite:
    """See `Database`. Several receivers may share the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute(TABLE)
            self._connection.execute(f"SELECT {', '.join(COLUMNS)} FROM envelopes LIMIT 1")  # noqa: S608  our own words
        except sqlite3.Error as error:
            raise OSError(None, str(error)) from None

    def append(self, received: Sequence[Kept]) -> list[Kept]:
        insert = f"INSERT OR IGNORE INTO envelopes ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                fresh = [each for each in received if connection.execute(insert, row(each)).rowcount == 1]
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise OSError(None, f"{self._path}: {error}") from None
        return fresh

    def rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(query)
        except sqlite3.Error as error:
            raise OSError(None, f"{self._path}: {error}") from None

    def close(self) -> None:
        self._connection.close()
