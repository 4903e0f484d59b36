"""The runtime's code, of which loading a model needs most and using it little."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from pathlib import Path

from onnxruntime.capi import onnxruntime_pybind11_state


def unmap_code() -> None:
    """Take the runtime's code out of this process until it is called again, and leave it in the page cache.

    Opening a session runs once through most of it, a score through little; and of all that the kernel could read again it
    gives up last the code that somebody has mapped. What a score needs comes back with the golden input, before any is timed.
    """
    library = re.escape(str(Path(onnxruntime_pybind11_state.__file__).resolve()))
    try:
        mappings = os.fsdecode(Path("/proc/self/maps").read_bytes())
    except OSError:  # it is a courtesy to a small board, and nothing depends on it
        return
    advise = ctypes.CDLL(None).madvise
    for first, end in re.findall(rf"(?m)^(\w+)-(\w+) r-xp .* {library}$", mappings):  # never written to: nothing is lost
        start = int(first, 16)
        advise(ctypes.c_void_p(start), ctypes.c_size_t(int(end, 16) - start), mmap.MADV_DONTNEED)
