"""What loading leaves in memory, and that it takes nothing from the scores."""

from __future__ import annotations

import re
import time
from pathlib import Path

from onnxruntime.capi import onnxruntime_pybind11_state

from agent.scoring.loading import load_any
from agent.scoring.session import load
from agent.scoring.trust import sha256
from agent.scoring.unmap import unmap_code
from tests.agent.scoring import graphs


def resident_code() -> int:
    """Kilobytes of the runtime's code that are mapped into this process."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = " r-xp " in line and line.endswith(str(Path(onnxruntime_pybind11_state.__file__).resolve()))
        elif ours and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


def test_code_that_only_loading_needs_leaves_and_the_scores_stay(tmp_path: Path) -> None:
    path = graphs.put(tmp_path, graphs.model())
    data = path.read_bytes()
    model = load(path, data, sha256(data), 1.0, time.perf_counter)
    row = model.card.golden.inputs[0]
    before = {name: values.tolist() for name, values in model.run(row).items()}
    loaded = resident_code()
    unmap_code()
    assert resident_code() < loaded / 2
    assert {name: values.tolist() for name, values in model.run(row).items()} == before
    assert 0 < resident_code() < loaded, "what a score needs came back"


def test_a_model_that_is_loaded_for_the_agent_leaves_little(tmp_path: Path) -> None:
    path = graphs.put(tmp_path, graphs.model())
    data = path.read_bytes()
    load(path, data, sha256(data), 1.0, time.perf_counter)
    loaded = resident_code()
    load_any(path, data, sha256(data), 1.0, time.perf_counter)
    assert resident_code() < loaded
