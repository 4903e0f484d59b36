"""PostgreSQL for received envelopes: any number of receivers write to one database, and each envelope stands there once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agent.receive.database import COLUMNS, TABLE, row
from agent.receive.outfile import Kept

try:
    import psycopg
except ImportError:
    raise ValueError('postgresql:// needs the extra "postgres"; pip install "atm-edge-agent[postgres]"') from None

TYPES = dict(zip(COLUMNS, ("text", "text", "text", "bigint", "text", *(["double precision"] * 2), "boolean", "text", "text",
                           "double precision"), strict=True))  # fmt: skip
INSERT = (
    f"INSERT INTO envelopes ({', '.join(COLUMNS)}) SELECT * FROM unnest({', '.join(f'%s::{TYPES[name]}[]' for name in COLUMNS)}) "  # noqa: S608
    "ON CONFLICT DO NOTHING RETURNING gateway, epoch, lane, position"
)
CONNECT = 10  # s


class Postgres:
    """See `agent.receive.database.Database`. A connection that broke is made anew, once for each write."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._connection: psycopg.Connection[Any] | None = None
        try:
            self._open().execute(TABLE)
        except psycopg.errors.UniqueViolation:  # another receiver has made it in this very moment
            self._open().execute(TABLE)
        except psycopg.Error as error:
            raise OSError(None, _told(error)) from None

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._where, autocommit=True, connect_timeout=CONNECT)
            self._connection.execute("SET synchronous_commit = on")
        return self._connection

    def append(self, received: Sequence[Kept]) -> list[Kept]:
        unique = {(each.gateway, each.epoch, each.lane, each.position): each for each in received}
        columns = [list(values) for values in zip(*map(row, unique.values()), strict=True)]
        try:
            try:
                found = self._open().execute(INSERT, columns).fetchall()
            except psycopg.OperationalError:
                self._connection = None
                found = self._open().execute(INSERT, columns).fetchall()
        except psycopg.Error as error:
            raise OSError(None, _told(error)) from None
        stored = {tuple(identity) for identity in found}
        return [each for identity, each in unique.items() if identity in stored]

    def rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._open().execute(query)
        except psycopg.Error as error:
            raise OSError(None, _told(error)) from None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _told(error: psycopg.Error) -> str:
    """The server's own words on one line; never the address, which may hold a password."""
    return "PostgreSQL: " + (" ".join(str(error).split()) or type(error).__name__)
