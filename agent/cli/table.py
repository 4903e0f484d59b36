"""Rows of numbers from a CSV file whose first line names the columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from math import isfinite, nan
from pathlib import Path

from agent.errors import AgentError

MISSING = ("", "nan", "null", "none")  # what stands for a missing value


def rows(path: Path, wanted: Sequence[str]) -> Iterator[tuple[int, list[float]]]:
    """Line number and the wanted columns, in that order, of every row; NaN is missing. Raises AgentError."""
    lines = _lines(path)
    _, header = next(lines)
    lacking = [name for name in wanted if name not in header]
    if lacking:
        raise AgentError(f"{path}:1: has no column {lacking[0]!r} ({len(lacking)} of {len(wanted)} are lacking)")
    places = [header.index(name) for name in wanted]
    for number, line in lines:
        yield number, [_number(path, number, header[at], line[at] if at < len(line) else "") for at in places]


def columns(path: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """The wanted columns where the file has them all; else every one whose first cell is a number. Raises AgentError."""
    lines = _lines(path)
    _, header = next(lines)
    if set(wanted) <= set(header):
        return tuple(wanted)
    _, first = next(lines, (0, []))
    numbers = tuple(name for name, cell in zip(header, first, strict=False) if _is_number(cell))
    if not numbers:
        raise AgentError(f"{path}:1: no column of it begins with a number; give a CSV file with a header")
    return numbers


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The header, then every line that is not empty, with their numbers."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            yield 1, [name.strip() for name in next(lines, [])]
            yield from ((lines.line_num, line) for line in lines if line)
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror}; name a CSV file that this user may read") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise AgentError(f"{path}: is no CSV file ({error})") from error


def _number(path: Path, number: int, name: str, cell: str) -> float:
    text = cell.strip()
    if text.lower() in MISSING:
        return nan
    if not _is_number(text):
        raise AgentError(f"{path}:{number}: {name}: expected a number, got {text!r}; leave it blank when it is missing")
    return float(text)


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
