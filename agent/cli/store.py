"""`atm-agent store …`: look at a store or a journal, prove it whole, move it to other forms. No command here needs the agent."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from agent.errors import EXIT_FAILED, EXIT_OK, AgentError

if TYPE_CHECKING:
    from agent.store.inspection import JournalReport, Progress, StoreReport


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "store",
        help="look at a store, prove it whole, export it",
        description="Look at a store's directory or at one journal file. `stat`, `verify` and `export` only read, also while "
        "the agent runs; `compact` wants it stopped.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    stat = _add(actions, "stat", "what it holds and how much waits")
    verify = _add(actions, "verify", "read every byte; exit status 1 when something is damaged or missing, and what that cost")
    for each in (stat, verify):
        each.add_argument("--json", action="store_true", help="one JSON object")
    export = _add(actions, "export", "write it as JSON lines or as a stock TinyDB file")
    export.add_argument("--format", choices=("lines", "tinydb"), default="lines", help="default: lines")
    export.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    export.add_argument("--lane", action="append", metavar="LANE", help="of a store, this lane only; may be given again")
    taking = _add(actions, "import", "take a stock TinyDB file into a new journal", "the journal that is made")
    taking.add_argument("source", type=Path, metavar="FILE", help="a file of TinyDB's JSONStorage")
    _add(actions, "compact", "rewrite its files without their past; the agent must be stopped")


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, path: str = "a directory or a journal"
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("path", type=Path, metavar="PATH", help=path)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run one action. Raises AgentError with one line that names the thing and the remedy."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "stat": _stat, "verify": _verify, "export": _export, "import": _import, "compact": _compact,
    }  # fmt: skip
    try:
        return actions[args.action](args)
    except BrokenPipeError:
        raise
    except BlockingIOError as error:
        raise AgentError(f"{args.path}: an agent has it open; stop that agent first") from error
    except OSError as error:
        place = error.filename or args.path
        raise AgentError(f"{place}: {error.strerror or error}; look at the disk, and at who may use it") from error
    except ValueError as error:
        raise AgentError(str(error)) from error


def _stat(args: argparse.Namespace) -> int:
    report = _inspect(args.path)
    if args.json:
        _print_json(report)
    else:
        _print_report(report)
    return EXIT_OK


def _verify(args: argparse.Namespace) -> int:
    report = _inspect(args.path)
    if args.json:
        _print_json(report)
    else:
        for finding in report.findings:
            print(f"{finding.path}: {finding.what}" + (f": {finding.cost}" if finding.cost else ""))
        for notice in report.notices:
            print(f"note: {notice}")
        print(f"{args.path}: " + (f"{len(report.findings)} findings" if report.findings else "whole"))
    return EXIT_FAILED if report.findings else EXIT_OK


def _inspect(path: Path) -> StoreReport | JournalReport:
    from agent.store.inspection import inspect_journal, inspect_store

    if path.is_file():
        return inspect_journal(path)
    with _progress(path, "reading") as progress:
        return inspect_store(path, progress)


def _export(args: argparse.Namespace) -> int:
    from agent.store import DEAD, LANES
    from agent.store.exchange import export_lines, export_tinydb
    from agent.store.history import is_store

    lanes = tuple(args.lane or (*LANES, DEAD))
    if unknown := set(lanes) - {*LANES, DEAD}:
        raise AgentError(f"--lane {unknown.pop()}: there is no such lane; there are {', '.join((*LANES, DEAD))}")
    if args.path.is_dir() and not is_store(args.path):
        raise AgentError(f"{args.path}: there is no store; name its directory, or a journal file")
    export = export_lines if args.format == "lines" else export_tinydb
    with _output(args.output) as out, _progress(args.path, "exporting") as progress:
        count = export(args.path, out, lanes, progress)
    if args.output:
        print(f"{args.output}: {count} documents")
    return EXIT_OK


def _import(args: argparse.Namespace) -> int:
    from agent.store.exchange import import_tinydb

    count = import_tinydb(args.source, args.path)
    print(f"{args.path}: {count} documents")
    return EXIT_OK


def _compact(args: argparse.Namespace) -> int:
    from agent.store.exchange import compact

    if not args.path.exists():
        raise AgentError(f"{args.path}: there is no store and no journal")
    with _progress(args.path, "rewriting") as progress:
        before, after = compact(args.path, progress)
    print(f"{args.path}: {before} bytes before, {after} after")
    return EXIT_OK


@contextmanager
def _output(path: Path | None) -> Iterator[IO[bytes]]:
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists():
        raise AgentError(f"{path}: exists already; name a new file")
    try:
        with path.open("xb") as out:
            yield out
    except OSError as error:
        path.unlink(missing_ok=True)  # half an export is none
        raise AgentError(f"{path}: {error.strerror}; name a place with room that may be written") from error


@contextmanager
def _progress(path: Path, what: str) -> Iterator[Progress]:
    """A bar on standard error, if somebody looks at it."""
    if not sys.stderr.isatty():
        yield lambda _path, _size: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    total = sum(file.stat().st_size for file in path.rglob("*.journal")) if path.is_dir() else None
    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda _path, size: bar.advance(task, size)


def _print_json(report: StoreReport | JournalReport) -> None:
    print(json.dumps(msgspec.to_builtins(asdict(report))))


def _print_report(report: StoreReport | JournalReport) -> None:
    from rich.console import Console
    from rich.table import Table

    from agent.store.inspection import StoreReport

    console = Console()
    head = Table(show_header=False, box=None)
    for name, value in _head(report):
        head.add_row(name, value)
    console.print(head)
    if isinstance(report, StoreReport):  # two tables: one would be wider than a terminal
        held, when = Table(), Table()
        for title in ("lane", "records", "positions", "bytes", "segments"):
            held.add_column(title, justify="left" if title == "lane" else "right", no_wrap=True)
        for title in ("lane", "oldest", "newest"):
            when.add_column(title, no_wrap=True)
        when.add_column("waiting", overflow="fold")
        for lane in report.lanes:
            held.add_row(lane.name, str(lane.records), f"{lane.first}-{lane.last}", str(lane.bytes), str(lane.segments))
            waiting = "\n".join(f"{uplink} {count}" for uplink, count in sorted(lane.waiting.items()))
            when.add_row(lane.name, _time(lane.oldest_at), _time(lane.newest_at), waiting)
        console.print(held)
        console.print(when)


def _head(report: StoreReport | JournalReport) -> Iterator[tuple[str, str]]:
    from agent.store.inspection import StoreReport

    yield "path", report.path
    yield "bytes", str(report.bytes)
    if isinstance(report, StoreReport):
        yield "gateway", f"{report.gateway or 'unknown'}, epoch {report.epoch or 'unknown'}"
        yield (
            "lost",
            f"{sum(loss.count for loss in report.losses)} positions in {len(report.losses)} losses, {report.untold} untold",
        )
        yield "written", f"{report.flash_bytes} bytes to the card in all"
        if report.set_aside:
            yield "set aside", f"{sum(report.set_aside.values())} damaged bytes in {len(report.set_aside)} files"
    else:
        yield "transactions", str(report.transactions)
    yield "documents", ", ".join(f"{table} {count}" for table, count in sorted(report.tables.items())) or "none"
    for finding in report.findings:
        yield "finding", f"{finding.path}: {finding.what}"


def _time(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
