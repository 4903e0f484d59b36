"""A disk that is really full: a small tmpfs in a mount namespace where that is allowed, a limit on file sizes everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount(directory: Path) -> bool:
    command = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", str(directory)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kind", ["tmpfs", "limit"])
def test_a_full_disk_costs_no_alarm(kind: str, tmp_path: Path) -> None:
    if kind == "tmpfs" and not may_mount(tmp_path):
        pytest.skip("this user may not mount; the limit on file sizes shows the same")
    command = [*(NAMESPACE if kind == "tmpfs" else []), sys.executable, "-m", "tests.agent.store.full_disk", str(tmp_path), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout.splitlines()[-1])
    assert out["word"] == "full"
    assert out["sent_from"] == "outage"
    assert len(out["sent"]) == 10
    assert out["on_disk_before"] < 1000
    assert out["word_after"] == "ok"
    assert out["found"] == sorted(set(range(1000)) - set(out["sent"])), "each alarm went out once, or waits on the disk"
