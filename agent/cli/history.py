"""`atm-agent history`: what the store holds of a machine over a span of time. Reads only; the agent may be running."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from agent.cli.span import add_span, add_store, shown, store_of
from agent.cli.terminal import printable
from agent.errors import EXIT_OK
from agent.records import Alarm, Envelope, Loss, PointSummary, Reading, Summary
from agent.stages.rules import fits
from agent.store.history import Span, history

BLOCK = 1_000  # lines of a table that get their widths together
NUMBERS = ("n", "bad", "min", "mean", "max", "deviation", "delta")
COLUMNS = ("kind", "machine", "at", "point", "value", "n", "bad", "min", "mean", "max", "deviation", "delta", "observed", "text")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "history",
        help="what the store holds of a machine over a span of time",
        description="Print what the store holds, delivered or not: alarms, losses, windows and single readings, oldest first.",
    )
    add_store(parser)
    add_span(parser)
    parser.add_argument("--point", metavar="POINT", help="only this point; * stands for one segment (storage.*.count)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="each envelope as a line of JSON")
    form.add_argument("--csv", action="store_true", help="a line a point, window, reading or alarm")


def run(args: argparse.Namespace) -> int:
    """Print the history."""
    found = history(store_of(args), Span(args.start, args.end, args.machine))
    if args.json:
        for envelope in found:
            sys.stdout.write(msgspec.json.encode(envelope).decode() + "\n")
        return EXIT_OK
    rows = (row for envelope in found for row in _rows(envelope) if _wanted(row, args.point))
    (_csv if args.csv else _table)(rows)
    return EXIT_OK


def _wanted(row: dict[str, Any], point: str | None) -> bool:
    return point is None or fits(point, row.get("point", ""))


def _rows(envelope: Envelope) -> Iterator[dict[str, Any]]:
    body = envelope.body
    match body:
        case Summary():
            common = {"kind": "summary", "machine": body.machine, "at": shown(body.end), "observed": body.observed}
            for name, summary in body.points.items():
                yield {**common, "point": name, **_numbers(summary)}
        case Alarm():
            text = f"{'cleared: ' if body.cleared else ''}{body.rule} {body.class_} severity {body.severity}"
            words = " ".join(filter(None, (text, body.attack, body.text)))
            yield {
                "kind": "alarm",
                "machine": body.machine,
                "at": shown(body.at),
                "point": body.point,
                "value": body.value,
                "text": words,
            }
        case Reading():
            doubt = "" if body.quality == "good" else f"{body.quality} {body.reason}"
            yield {
                "kind": "reading",
                "machine": body.machine,
                "at": shown(body.at),
                "point": body.point,
                "value": body.value,
                "text": doubt,
            }
        case Loss():
            text = f"{body.lane} {body.first} to {body.last}, {body.count} lost: {body.why}"
            yield {"kind": "loss", "machine": envelope.gateway, "at": shown(envelope.at), "text": text}


def _numbers(summary: PointSummary) -> dict[str, Any]:
    values = {name: getattr(summary, name) for name in NUMBERS}
    states = ", ".join(f"{word} {seconds:g} s" for word, seconds in (summary.states or {}).items())
    return {**values, "value": summary.last, "text": states}


def _csv(rows: Iterable[dict[str, Any]]) -> None:
    writer = csv.DictWriter(sys.stdout, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)


def _table(rows: Iterator[dict[str, Any]]) -> None:
    """Block by block, so that the first lines of a long history come at once; a column only ever grows wider."""
    widths = [len(column) for column in COLUMNS]
    head = [COLUMNS]
    while block := [tuple(printable(_cell(row.get(column))) for column in COLUMNS) for row in islice(rows, BLOCK)]:
        widths = [max(width, *map(len, cells)) for width, cells in zip(widths, zip(*block, strict=True), strict=True)]
        for cells in (*head, *block):
            padded = (
                cell.rjust(width) if column in NUMBERS else cell.ljust(width)
                for column, cell, width in zip(COLUMNS, cells, widths, strict=True)
            )
            print("  ".join(padded).rstrip())
        head = []
    if head:
        print("the store holds nothing of it in this span")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
