"""The shelf: models that were installed on this gateway, and those that they replaced, so that one command goes back.

    DIRECTORY/NAME/shelf.json              which file is current, which runs as its shadow, which came before (newest first)
    DIRECTORY/NAME/VERSION-SHA8.onnx       the files, each with its .sig if it has one
    DIRECTORY/NAME/commission.json         which machine must learn again what is usual there: machine -> number of the order

A file is whole and on disk before shelf.json names it; shelf.json is replaced, never edited. What it names no longer is removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.errors import ModelRefused
from agent.scoring import trust

KEPT = 3  # files that came before the current one
INDEX = "shelf.json"
ORDERS = "commission.json"
NAME = re.compile(r"[0-9A-Za-z_-]{1,57}")  # leaves room for the name of a shadow within a point's segment
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,31}")
OURS = re.compile(r"\.?[0-9A-Za-z][0-9A-Za-z._+-]*-[0-9a-f]{8}\.onnx(\.sig)?(\.new)?")  # nothing else is ever removed


def shelf_of(store: Path) -> Path:
    """Where an agent whose store is there has its shelf: beside it, under a name that nothing else has."""
    return store.with_name(f"{store.name}-models")


class Copy(msgspec.Struct, frozen=True):
    """One installed file."""

    file: str
    version: str
    sha256: str


class Row(msgspec.Struct, frozen=True):
    """What the shelf holds of one model."""

    current: Copy | None = None
    shadow: Copy | None = None
    previous: tuple[Copy, ...] = ()

    def copies(self) -> tuple[Copy, ...]:
        """All of them."""
        return tuple(copy for copy in (self.current, self.shadow, *self.previous) if copy is not None)


class Shelf:
    """One directory. Commands change it, the running agent looks at it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, name: str, copy: Copy) -> Path:
        """Where a copy is."""
        return self._directory / name / copy.file

    def names(self) -> list[str]:
        """Models of which something was installed. Raises ModelRefused when that cannot be read."""
        try:
            return sorted(each.name for each in self._directory.iterdir() if each.is_dir() and _is_there(each / INDEX))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ModelRefused(f"{self._directory}: {error.strerror}; this user must be able to read there") from error

    def stamp(self, name: str) -> tuple[int, int]:
        """Changes whenever the shelf's row of a model does; zeros while there is none."""
        try:
            found = (self._directory / name / INDEX).stat()
        except OSError:
            return 0, 0
        return found.st_mtime_ns, found.st_ino  # a file system's clock may tick slowly, but a replaced file is another one

    def row(self, name: str) -> Row:
        """What there is of a model. Raises ModelRefused when that cannot be read."""
        index = self._directory / name / INDEX
        if not _is_there(index):
            if any(each.suffix == ".onnx" for each in index.parent.glob("[!.]*")):
                raise ModelRefused(f"{index}: is missing, and models lie beside it; install the model again")
            return Row()
        try:
            row = msgspec.json.decode(trust.read(index, trust.SMALL_LIMIT), type=Row)
        except msgspec.DecodeError as error:
            raise ModelRefused(f"{index}: is damaged ({error}); install the model again") from error
        if any("/" in copy.file or copy.file.startswith(".") for copy in row.copies()):
            raise ModelRefused(f"{index}: names a file outside of its directory; install the model again")
        return row

    def orders(self, name: str) -> dict[str, int]:
        """The last order to learn again of each machine. Raises ModelRefused when that cannot be read."""
        path = self._directory / name / ORDERS
        if not _is_there(path):
            return {}
        try:
            return msgspec.json.decode(trust.read(path, trust.SMALL_LIMIT), type=dict[str, int])
        except msgspec.DecodeError as error:
            raise ModelRefused(f"{path}: is damaged ({error}); remove it, and commission again") from error

    def order(self, name: str, machines: Sequence[str], number: int) -> None:
        """Have machines learn again; `number` is another one than that of any order before. Raises ModelRefused."""
        if not NAME.fullmatch(name):
            raise ModelRefused(f"{name!r}: letters, digits, _ and - make a model's name")
        try:
            before = self.orders(name)
        except ModelRefused:
            before = {}
        try:
            self._keep(name, ORDERS, msgspec.json.encode(before | dict.fromkeys(machines, number)))
        except OSError as error:
            raise ModelRefused(f"{self._directory}: {error.strerror}; this user must be able to write there") from error

    def install(self, name: str, version: str, path: Path, data: bytes, *, shadow: bool = False) -> Row:
        """Put a file on the shelf, as the current one or as its shadow. Raises ModelRefused."""
        if not NAME.fullmatch(name) or not VERSION.fullmatch(version):
            raise ModelRefused(f"{path}: its card calls it {name!r} {version!r}; letters, digits, _ and - make a name")
        sha256 = trust.sha256(data)
        copy = Copy(f"{version}-{sha256[:8]}.onnx", version, sha256)
        row = self._row_or_nothing(name)
        signature = trust.signature_of(path)
        try:
            self._keep(name, copy.file, data)
            if signature.exists():
                self._keep(name, trust.signature_of(Path(copy.file)).name, trust.read(signature, trust.SMALL_LIMIT))
            return self._write(name, _with(row, copy, shadow=shadow))
        except OSError as error:
            raise ModelRefused(f"{self._directory}: {error.strerror}; this user must be able to write there") from error

    def roll_back(self, name: str, *, shadow: bool = False) -> Row:
        """Go back to the copy before the current one, or to what came with the agent; with `shadow`, end the shadow."""
        row = self.row(name)
        if shadow:
            if row.shadow is None:
                raise ModelRefused(f"no shadow of {name} is installed")
            changed = msgspec.structs.replace(row, shadow=None)
        elif row.current is None:
            raise ModelRefused(f"no {name} is installed; what came with the agent is in use")
        else:
            before = row.previous[0] if row.previous else None
            changed = msgspec.structs.replace(row, current=before, previous=row.previous[1:])
        try:
            return self._write(name, changed)
        except OSError as error:
            raise ModelRefused(f"{self._directory}: {error.strerror}; this user must be able to write there") from error

    def _row_or_nothing(self, name: str) -> Row:
        try:
            return self.row(name)
        except ModelRefused:
            return Row()  # what is installed now makes it whole again

    def _keep(self, name: str, file: str, data: bytes) -> None:
        """Write a file so that it is either there as a whole or not at all."""
        directory = self._directory / name
        directory.mkdir(parents=True, exist_ok=True)
        draft = directory / f".{file}.new"
        with open(draft, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(directory / file)
        number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

    def _write(self, name: str, row: Row) -> Row:
        self._keep(name, INDEX, msgspec.json.format(msgspec.json.encode(row), indent=1))
        files = {copy.file for copy in row.copies()}
        named = files | {trust.signature_of(Path(file)).name for file in files}
        for each in (self._directory / name).iterdir():
            if OURS.fullmatch(each.name) and each.name not in named:
                each.unlink(missing_ok=True)
        return row


def _is_there(path: Path) -> bool:
    """Also what cannot be looked at is there: whoever reads it is told why not."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _with(row: Row, copy: Copy, *, shadow: bool) -> Row:
    if shadow:
        if copy == row.current:
            raise ModelRefused(f"{copy.file}: is the current model already; a shadow is another one")
        return msgspec.structs.replace(row, shadow=copy)
    before = [each for each in (row.current, *row.previous) if each is not None and each != copy]
    return Row(copy, None if row.shadow == copy else row.shadow, tuple(before[:KEPT]))
