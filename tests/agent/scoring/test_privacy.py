"""The runtime of the models reports to its maker unless it is told not to: nothing of a machine may go there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from tests.agent.scoring import graphs

REPOSITORY = Path(__file__).parents[3]
LOADS_A_MODEL = """
import os, sys
from agent.scoring.session import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
onnxruntime.InferenceSession(sys.argv[1], options)
print(*(open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")))
"""


def test_nothing_is_written_and_nothing_runs_on_behalf_of_its_maker(tmp_path: Path) -> None:
    file = graphs.put(tmp_path, graphs.model())
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "XDG_CACHE_HOME") and "ORT_" not in name}
    command = [sys.executable, "-c", LOADS_A_MODEL, str(file)]
    done = subprocess.run(command, env=kept | {"HOME": str(home)}, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []
    assert len(done.stdout.split()) == 1, "a thread of its own would be there to report"


def test_the_runtime_still_knows_the_switch() -> None:
    """A newer one may call it otherwise; then this fails, and agent/scoring/__init__.py needs the new name."""
    found = importlib.util.find_spec("onnxruntime")
    assert found is not None
    assert found.origin is not None
    libraries = Path(found.origin).with_name("capi").glob("libonnxruntime.so*")
    assert all(b"ORT_DISABLE_TELEMETRY" in library.read_bytes() for library in libraries)
