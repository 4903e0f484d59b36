"""Rows of numbers from a CSV file whose first line names the columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import AgentError

if TYPE_CHECKING:
    from agent.scoring.card import Column

DECIMAL = re.compile(r"[+-]?\d+,\d+")
MISSING = ("", "nan", "null", "none")  # what stands for a missing value


def rows(path: Path, wanted: Sequence[str]) -> Iterator[tuple[int, list[float]]]:
    """Line number and the wanted columns, in that order, of every row; NaN is missing. Raises AgentError."""
    found = lines(path)
    _, header = next(found)
    lacking = [name for name in wanted if name not in header]
    if lacking:
        raise AgentError(f"{path}:1: has no column {lacking[0]!r} ({len(lacking)} of {len(wanted)} are lacking)")
    places = [header.index(name) for name in wanted]
    for number, line in found:
        yield number, [_number(path, number, header[at], line[at] if at < len(line) else "") for at in places]


def encoded(path: Path, wanted: Sequence[Column]) -> Iterator[tuple[int, list[float]]]:
    """The same for a model of tables: a word becomes its place in its column's list; one that training never met is NaN, and so
    is what is no number in a column of numbers, as in training. Raises AgentError."""
    found = lines(path)
    _, header = next(found)
    lacking = [column.name for column in wanted if column.name not in header]
    if lacking:
        raise AgentError(f"{path}:1: has no column {lacking[0]!r} ({len(lacking)} of {len(wanted)} are lacking)")
    places = [(header.index(column.name), {word: float(at) for at, word in enumerate(column.words)}) for column in wanted]
    for number, line in found:
        yield number, [_encoded(line[at].strip() if at < len(line) else "", words) for at, words in places]


def _encoded(cell: str, words: Mapping[str, float]) -> float:
    if words:
        return words.get(cell, nan)
    return float(cell) if _is_number(cell) else nan


def columns(path: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """The wanted columns where the file has them all; else every one whose first cell is a number. Raises AgentError."""
    found = lines(path)
    _, header = next(found)
    if set(wanted) <= set(header):
        return tuple(wanted)
    _, first = next(found, (0, []))
    numbers = tuple(name for name, cell in zip(header, first, strict=False) if _is_number(cell))
    if not numbers:
        raise AgentError(f"{path}:1: no column of it begins with a number; give a CSV file with a header")
    return numbers


def lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The header, then every line that is not empty, with their numbers. Commas, semicolons or tabs part the cells; where it is
    no comma, one in a number is its decimal point."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            mark = max(",;\t", key=head.count)
            table = csv.reader(file, delimiter=mark)
            yield 1, [name.strip() for name in next(table, [])]
            yield from ((table.line_num, [_cell(cell, mark) for cell in line]) for line in table if line)
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror}; name a CSV file that this user may read") from error
    except UnicodeDecodeError as error:
        raise AgentError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except csv.Error as error:
        raise AgentError(f"{path}: is no CSV file ({error})") from error


def _cell(cell: str, mark: str) -> str:
    return cell.replace(",", ".") if mark != "," and DECIMAL.fullmatch(cell.strip()) else cell


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
