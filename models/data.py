"""What all trainers say of files: one that cannot be used, one that cannot be written. Nothing is left half written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PICTURES = (".png", ".svg", ".pdf")


class DataError(ValueError):
    """A file cannot be used; the message names file, place and remedy."""


def check_outputs(out: Path | None, plot: Path | None) -> None:
    """Before the work, which may take minutes: whether its results can be written then. Raises DataError."""
    if plot is not None:
        if plot.suffix.lower() not in PICTURES:
            raise DataError(f"{plot}: expected a name that ends in {', '.join(PICTURES)}")
        if find_spec("matplotlib") is None:
            raise DataError("--plot needs matplotlib; install it with: pip install 'atm-edge-agent[plot]'")
    for path in (out, plot):
        if path is None:
            continue
        if path.is_dir():
            raise DataError(f"{path}: is a folder; name a file in it")
        folder = _existing(path.parent)
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise DataError(f"{path}: {folder} is no folder that this user may write to; name another one")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there: the others are made."""
    return folder if folder.exists() or folder == folder.parent else _existing(folder.parent)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A draft to write to, which becomes `path` when all of it is on disk; what was there stays if it never is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield draft
        draft.replace(path)
    except OSError as error:  # a full disk names no file
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        draft.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole, text as UTF-8. Raises OSError."""
    with whole(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


def save(figure: Any, path: Path) -> None:
    """Write a picture of matplotlib's whole. Raises OSError."""
    with whole(path) as draft:
        figure.savefig(draft, dpi=110)
