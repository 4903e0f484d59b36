"""Any microcontroller that prints lines: JSON, CSV or key=value, with a mapping of its fields to points. Never written to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from agent.records import Quality, Reading, Value
from agent.sources import Context
from agent.sources.tap import Side, TapSettings, TapSource
from agent.sources.values import Twice
from agent.vocabulary import Point, fault, nearest, point
from agent.wire.text import Check, Document, Splitter, checked, csv_line, document_of, json_line, json_lines, keyvalue_line


@dataclass(frozen=True, kw_only=True)
class Field:
    """What one field of a line tells."""

    point: str
    scale: float = 1.0
    """The point's unit in one of the line's: 0.1 where a line says 215 for 21.5."""
    offset: float = 0.0
    """Added after `scale`."""
    words: Mapping[str, str] = field(default_factory=dict)
    """What the line says -> the point's word, as in 1: open. Without it the line says the words themselves."""
    twice: bool = False
    """A change counts once two lines have said it. For devices that say everything again and again."""
    step: float = 0.0
    """With `twice`: how far a number may go without being said twice."""

    def __post_init__(self) -> None:
        entry = point(self.point)
        if entry is None:
            near = nearest(self.point)
            meant = f"did you mean {near}?" if near else "a sensor of your own is auxiliaries.sensor.NAME"
            raise ValueError(f"point: no point is called {self.point!r}; {meant}")
        if self.words and not entry.words:
            raise ValueError(f"words: {self.point} is a number ({entry.unit}); leave this out")
        for said, word in self.words.items():
            if word not in entry.words:
                raise ValueError(f"words.{said}: {self.point} has no word {word!r}; it has {', '.join(entry.words)}")
        if entry.words and (self.scale != 1.0 or self.offset != 0.0):
            raise ValueError(f"scale: {self.point} says words; leave scale and offset out")
        if self.scale == 0.0 or not abs(self.scale) < 1e12 or not abs(self.offset) < 1e12:
            raise ValueError("scale: expected a number other than 0 that is no more than 1e12")
        if self.step < 0.0 or (self.step and (not self.twice or entry.words)):
            raise ValueError("step: expected a number above 0, at a number with twice: true")


@dataclass(frozen=True, kw_only=True)
class Settings(TapSettings):
    """A line of text lines, and what their fields mean."""

    fields: Mapping[str, Field]
    """Field of a line -> point. A field within another is named with dots: env.t"""
    format: Literal["json", "csv", "keyvalue"] = "json"
    columns: tuple[str, ...] = ()
    """The names of the columns of a CSV; without it they are numbered from 1."""
    separator: str = ","
    name_in: str = ""
    """Where each line tells of one field: the key whose value is that field's name, as in {"ch": "t1", "v": 21.5} ..."""
    value_in: str = ""
    """... and the key of its value."""
    check: Check = "none"
    """The check at the end of each line: *HH, the XOR of all bytes before it, or *HHHH, their CRC-16/CCITT-FALSE."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.fields:
            raise ValueError("fields: is empty; name at least one field of the lines and its point")
        if len(self.separator) != 1 or self.separator in "\n\r":
            raise ValueError("separator: expected one character, such as a comma or a semicolon")
        if bool(self.name_in) != bool(self.value_in):
            raise ValueError("value_in: goes with name_in; give both or neither")
        if self.columns and self.format != "csv":
            raise ValueError("columns: only a CSV has columns")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("columns: a name stands there twice")
        twice = [name for name, times in Counter(each.point for each in self.fields.values()).items() if times > 1]
        if twice:
            raise ValueError(f"fields: {twice[0]} stands there twice; each point has one field")
        if self.columns and not self.name_in:
            for name in self.fields:
                if name not in self.columns:
                    raise ValueError(f"fields.{name}: no column is called so; there are {', '.join(self.columns)}")


class _Entry(NamedTuple):
    name: str
    low: float
    high: float
    plain: bool  # a number that is taken as it stands
    point: Point
    field: Field
    twice: Twice | None


class TextLines:
    """What the lines say. See `Heard`."""

    def __init__(self, context: Context, settings: Settings) -> None:
        self.frames = 0
        self._machine = context.machine
        self._settings = settings
        self._splitter = Splitter()
        self._garbage = self._wrong = self._unknown = 0
        self._entries = {name: _entry(each) for name, each in settings.fields.items()}
        self._deep = any("." in name for name in self._entries)
        self._named = (settings.name_in, settings.value_in) if settings.name_in else None
        self._fast = settings.format == "json" and settings.check == "none"
        readers = {"json": json_line, "csv": csv_line(settings.columns, settings.separator), "keyvalue": keyvalue_line}
        self._read = readers[settings.format]

    def begin(self) -> None:
        """The line was opened: what was half heard is over, and so is what waits for its second time."""
        self._garbage += self._splitter.garbage_bytes
        self._splitter = Splitter()
        for entry in self._entries.values():
            if entry.twice is not None:
                entry.twice.forget()

    def hear(self, side: Side, chunk: bytes, at: float, mono: float) -> Sequence[Reading]:
        """A Reading for each field of each line that a point is named for."""
        del side, mono
        block = self._splitter.feed(chunk)
        if not block:
            return ()
        readings: list[Reading] = []
        if self._fast and (values := json_lines(block)) is not None:
            documents: Iterable[Document | None] = (
                values if all(type(each) is dict for each in values) else map(document_of, values)
            )
            self._take(documents, at, readings)
        else:
            self._take(map(self._line, block.splitlines()), at, readings)
        return readings

    def _line(self, line: bytes) -> Document | None:
        if not line.strip():
            return {}
        body = checked(line, self._settings.check)
        if body is None:
            self._wrong += 1
            return {}
        document = self._read(body)
        if document is None:
            self._garbage += len(line) + 1
            return {}
        return document

    def _take(self, documents: Iterable[Document | None], at: float, readings: list[Reading]) -> None:
        machine, entries, named, add = self._machine, self._entries, self._named, readings.append
        for document in documents:
            if not document:
                continue
            if named is not None:
                document = _pair(document, named)  # noqa: PLW2901  the same line, in the other form
            elif self._deep:
                document = {**document, **_dug(document, entries)}  # noqa: PLW2901
            self.frames += 1
            told = False
            for key, value in document.items():
                entry = entries.get(key)
                if entry is None:
                    continue
                told = True
                kind = type(value)
                if entry[3] and (kind is float or kind is int) and entry[1] <= value <= entry[2]:  # type: ignore[operator]
                    add(Reading(machine, entry[0], value, at))  # type: ignore[arg-type]  # it is a number
                else:
                    readings += self._looked_at(entry, value, at)
            self._unknown += not told

    def _looked_at(self, entry: _Entry, raw: object, at: float) -> Sequence[Reading]:
        """A value that is not simply a number within its limits."""
        if raw is None:
            return (Reading(self._machine, entry.name, None, at, Quality.BAD, "noValue"),)
        value = _word(raw, entry.field.words) if entry.point.words else _number(raw, entry.field)
        reason = "notAValue" if value is None else fault(entry.point, value)
        if reason is not None:
            self._unknown += 1
            return (Reading(self._machine, entry.name, None, at, Quality.BAD, reason),)
        if entry.twice is not None and not entry.twice.passed({entry.name: value}):
            return ()
        return (Reading(self._machine, entry.name, value, at),)

    def tick(self, at: float, mono: float) -> Sequence[Reading]:
        """Lines are all there is."""
        del at, mono
        return ()

    def away(self, word: str, at: float) -> Sequence[Reading]:
        """Its points grow stale by themselves."""
        del word, at
        return ()

    def counters(self) -> Mapping[str, float]:
        """Lines with a wrong check; bytes of what was no line; lines and values that no point is named for."""
        garbage = self._garbage + self._splitter.garbage_bytes
        return {"crcErrors": self._wrong, "garbageBytes": garbage, "unknown": self._unknown}


def _entry(each: Field) -> _Entry:
    entry = point(each.point)
    assert entry is not None, each.point  # the settings have looked
    plain = not entry.words and each.scale == 1.0 and each.offset == 0.0 and not each.twice
    whole = Point(each.point, entry.words, entry.unit, entry.low, entry.high, entry.counter)
    twice = Twice({each.point: each.step} if each.step else None) if each.twice else None
    return _Entry(each.point, entry.low, entry.high, plain, whole, each, twice)


def _pair(document: Document, named: tuple[str, str]) -> Document:
    name = document.get(named[0])
    if isinstance(name, bool) or not isinstance(name, str | int) or named[1] not in document:
        return {}
    return {str(name): document[named[1]]}


def _dug(document: Document, names: Iterable[str]) -> Document:
    """Fields within fields, by their names with dots."""
    found = {}
    for name in names:
        inner: object = document
        for key in name.split("."):
            inner = inner.get(key, _MISSING) if isinstance(inner, Mapping) else _MISSING
        if inner is not _MISSING:
            found[name] = inner
    return found


_MISSING = object()


def _word(raw: object, words: Mapping[str, str]) -> Value:
    """The word for what a line says; None when it is no scalar, or one that nobody gave a word."""
    if isinstance(raw, bool):
        said = "true" if raw else "false"
    elif isinstance(raw, float) and raw.is_integer():
        said = str(int(raw))
    elif isinstance(raw, str | int | float):
        said = str(raw)
    else:
        return None
    return words.get(said) if words else said


def _number(raw: object, how: Field) -> Value:
    """The number in the point's unit; None when the line says none."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not -1e300 < raw < 1e300:
        return None
    value = raw * how.scale + how.offset
    return value if how.scale == 1.0 else float(f"{value:.12g}")  # 215 × 0.1 is 21.5


def open_source(context: Context, settings: Settings) -> TapSource:
    """Lines as configured. Touches no hardware."""
    return TapSource(context, settings, TextLines(context, settings))
