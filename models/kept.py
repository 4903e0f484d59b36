"""Work on many worlds that may be stopped at any time: what each one gave is kept on disk, and the next run goes on from there.

What is kept is named by the world, by what is done with it and by the sources of everything that makes it, so a changed simulator
or trainer begins anew. A run that came to its end leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar
from zipfile import BadZipFile

import msgspec
import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")
Arrays = Mapping[str, NDArray[Any]]
ROOT = Path(__file__).parents[1]
MAKERS = ("firmware_sim", "agent/stages", "agent/pipeline.py", "agent/config/rules.yaml")


@dataclass(frozen=True)
class Form(Generic[Result]):
    """How a result is kept: as named arrays, without pickled objects."""

    pack: Callable[[Result], Arrays]
    unpack: Callable[[Any, Arrays], Result]
    """Of the item that was worked on, and the arrays."""


@dataclass(frozen=True)
class Kept(Generic[Result]):
    """The results of one kind of work in one folder."""

    folder: Path
    about: str
    """What is done, and with what: another text is other work."""
    form: Form[Result]

    def each(self, work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Result]:
        """The result for every item, in their order; done now, in `jobs` processes, where it is not kept already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        once = partial(self._once, work)
        if jobs == 1:
            yield from map(once, items)
            return
        with ProcessPoolExecutor(jobs) as pool:
            yield from pool.map(once, items)

    def _once(self, work: Callable[[Item], Result], item: Item) -> Result:
        path = self.folder / f"{self._name(item)}.npz"
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return self.form.unpack(item, dict(arrays))
        except (OSError, ValueError, KeyError, BadZipFile, msgspec.DecodeError):
            pass  # not done yet, or torn: it is done now
        result = work(item)
        draft = path.with_suffix(f".{os.getpid()}")
        with draft.open("wb") as out:
            np.savez_compressed(out, allow_pickle=False, **self.form.pack(result))
        draft.replace(path)
        return result

    def _name(self, item: object) -> str:
        """The same in every process: JSON with what is in a set or an object in order."""
        return hashlib.sha256(self.about.encode() + msgspec.json.encode(item, order="deterministic")).hexdigest()[:32]

    def forget(self) -> None:
        """Delete all that is kept."""
        shutil.rmtree(self.folder, ignore_errors=True)


def home(name: str) -> Path:
    """Where the work of a model is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "atm-edge-agent" / name


def sources(*more: str) -> str:
    """A hash of every source that decides what a simulated world gives; `more`: files or folders of the trainer."""
    digest = hashlib.sha256(np.__version__.encode())
    for name in (*MAKERS, *more):
        place = ROOT / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def text(value: bytes) -> NDArray[Any]:
    """Bytes as an array that a Form may hold."""
    return np.frombuffer(value, np.uint8)
