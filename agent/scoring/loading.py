"""A model file of either kind, loaded. One that has learned all it knows needs nothing of what the others learn with."""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from onnxruntime.capi import onnxruntime_pybind11_state

from agent.scoring.session import checked, opened

if TYPE_CHECKING:
    from agent.scoring.learning import LearningModel
    from agent.scoring.session import LoadedModel

    AnyModel: TypeAlias = LoadedModel | LearningModel


def load_any(
    path: Path, data: bytes, sha256: str, budget: float, perf_counter: Callable[[], float], *, of_table: bool = False
) -> AnyModel:
    """Load it and check it against its card. `of_table`: its features may be columns of a table, which no pipeline makes. Raises
    ModelRefused.
    """
    session, card = opened(path, data)
    unmap_code()
    if not card.learns and of_table and card.columns:
        return checked(path, session, card, sha256, budget, perf_counter, parsed=())
    if not card.learns:
        return checked(path, session, card, sha256, budget, perf_counter)
    from agent.scoring.learning import agreed  # noqa: PLC0415  2 MB that a gateway without such a model never loads

    return agreed(path, session, card, sha256, budget, perf_counter)


def unmap_code() -> None:
    """Take the runtime's code out of this process until it is called again, and leave it in the page cache.

    Opening a session runs once through most of it, a score through little; and of all that the kernel could read again it
    gives up last the code that somebody has mapped. What a score needs comes back with the golden input, before any is timed.
    """
    library = re.escape(str(onnxruntime_pybind11_state.__file__))
    try:
        mappings = Path("/proc/self/maps").read_text(encoding="utf-8")
    except OSError:  # it is a courtesy to a small board, and nothing depends on it
        return
    advise = ctypes.CDLL(None).madvise
    for first, end in re.findall(rf"(?m)^(\w+)-(\w+) r-xp .* {library}$", mappings):  # never written to: nothing is lost
        start = int(first, 16)
        advise(ctypes.c_void_p(start), ctypes.c_size_t(int(end, 16) - start), mmap.MADV_DONTNEED)
