"""A machine, a span of time and a store, as the commands that look back take them."""

from __future__ import annotations

import argparse
import re
import time
from datetime import UTC, datetime
from pathlib import Path

from agent import config
from agent.config.scalars import duration
from agent.errors import AgentError
from agent.store.history import is_store

CONFIG = Path("/etc/atm-agent/config.yaml")


def add_store(parser: argparse.ArgumentParser) -> None:
    """Arguments that say where the store is."""
    parser.add_argument(
        "--config",
        type=Path,
        default=CONFIG,
        metavar="FILE",
        help="the configuration, which says where the store is (default: %(default)s)",
    )
    parser.add_argument("--store", type=Path, metavar="DIR", help="the store itself, instead of --config")


def add_span(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Arguments that say which machine, or which `several`, and when."""
    if several:
        parser.add_argument("--machine", action="append", metavar="M", help="a machine; may be given again (default: all)")
    else:
        parser.add_argument("--machine", metavar="M", help="one machine, or the gateway's own id (default: all)")
    when = "2026-11-23, 2026-11-23T08:00, with an offset or else UTC; or so long ago: 90m, 2h, 7d"
    parser.add_argument("--from", dest="start", type=moment, default=float("-inf"), metavar="TIME", help=when)
    parser.add_argument("--to", dest="end", type=moment, default=float("inf"), metavar="TIME", help="not included")


def moment(text: str) -> float:
    """Seconds since the epoch of a date, a time, or a duration ago."""
    if re.fullmatch(r"\d+(\.\d+)?\s*[a-z]+", text):
        try:
            return time.time() - duration(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        expected = "expected a time such as 2026-11-23T08:00 or 2026-11-23T08:00+01:00, or so long ago: 2h"
        raise argparse.ArgumentTypeError(f"{expected}; got {text!r}") from None
    return at.replace(tzinfo=at.tzinfo or UTC).timestamp()


def store_of(args: argparse.Namespace) -> Path:
    """The store's directory. Raises ConfigError or AgentError."""
    path: Path = args.store if args.store is not None else config.load(args.config).store.path
    if not path.is_dir() or not is_store(path):
        raise AgentError(
            f"{path}: there is no store; name its directory with --store, or the agent's configuration with --config"
        )
    return path


def shown(at: float) -> str:
    """A moment for people, in UTC."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):  # no year that a calendar has
        return f"{at:g}"
