"""Models at the edge of the pure middle: an exported ONNX graph becomes a plain callable, or is refused with a word and a reason.

A model file is one .onnx with its card in the metadata (`card.Card`). Somebody must vouch for it (`trust`), and it is proved in
a child process (`probe`) before it is loaded here, because a runtime or a graph can kill the process that it runs in.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ModelRefused
from agent.scoring import onnx_file, trust
from agent.scoring.card import CARD_KEY
from agent.scoring.demand_card import is_demand

if TYPE_CHECKING:  # the runtime is loaded only once a child has survived it
    from agent.scoring.demand import DemandModel
    from agent.scoring.loading import AnyModel

__all__ = ["foretells", "prove", "prove_demand"]

# From 1.29 on, onnxruntime's wheels tell Microsoft of each session and keep a device's id and a database in ~/.cache, unless this
# is set when they are loaded. Nothing of a cash machine goes there; what is loaded from this package comes after this line.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a score is too small for numpy to share it out

PROBE_LIMIT = 90.0  # s of waiting for the child, which may use 60 s of the processor
ANSWER_LIMIT = 64 * 1024  # bytes of the child's answer that are looked at


async def prove(
    path: Path,
    sha256: str | None,
    budget: float,
    perf_counter: Callable[[], float],
    keys: Sequence[Path] = (),
    *,
    of_table: bool = False,
) -> AnyModel:
    """Load a model that somebody vouches for and that has given its golden outputs in a child process.

    A pinned `sha256` vouches for it, or a signature by one of `keys`; where both are given both must hold, where neither is the
    release that the file came with must name it. `budget`: seconds that one score may take. `of_table`: its features may be
    columns of a table, which no pipeline makes. Raises ModelRefused: `missing` when there is no file, `refused` when it is not
    what it should be, `slow` when it takes too long, `broken` when it cannot be run.
    """
    data, found = await _survived(path, sha256, budget, keys, ("--of-table",) if of_table else ())
    from agent.scoring.loading import load_any  # noqa: PLC0415

    return await asyncio.to_thread(load_any, path, data, found, budget, perf_counter, of_table=of_table)


async def prove_demand(path: Path, sha256: str | None, budget: float, keys: Sequence[Path] = ()) -> DemandModel:
    """The same for a model of demand, which answers questions about days to come. `budget`: seconds that an answer may take."""
    data, found = await _survived(path, sha256, budget, keys, ("--demand",))
    from agent.scoring.demand import load_demand  # noqa: PLC0415

    return await asyncio.to_thread(load_demand, path, data, found)


def foretells(path: Path) -> bool:
    """Whether a file says that it is a model of demand. It proves nothing: what it says is checked by whoever loads it.

    Raises ModelRefused when the file cannot be read, or is no model.
    """
    return is_demand(onnx_file.metadata(path, trust.read(path)).get(CARD_KEY, ""))


async def _survived(path: Path, sha256: str | None, budget: float, keys: Sequence[Path], how: Sequence[str]) -> tuple[bytes, str]:
    """A file that somebody vouches for and that a child has proved, and its hash. Raises ModelRefused."""
    data = await asyncio.to_thread(trust.read, path)
    pinned = sha256 if sha256 is not None or keys else trust.vouched(path)
    found = trust.check_hash(path, data, pinned)
    onnx_file.check_operators(path, data)
    named = [word for key in keys for word in ("--key", str(key))]
    await _probe(path, data, (str(path), "--budget", str(budget), *named, *how))
    return data, found


async def _probe(path: Path, data: bytes, words: Sequence[str]) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.scoring.probe", *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PROBE_LIMIT):
            answer, complaint, _ = await asyncio.gather(_tail(child.stdout), _tail(child.stderr), _give(child, data))
            await child.wait()
    except TimeoutError:
        raise ModelRefused(f"{path}: loading and running it took longer than {PROBE_LIMIT:g} s", "slow") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode is not None
    _judge(path, child.returncode, answer, complaint)


async def _give(child: asyncio.subprocess.Process, data: bytes) -> None:
    """Hand over the file. A child that dies meanwhile has said why."""
    assert child.stdin is not None
    try:
        child.stdin.write(data)
        await child.stdin.drain()
    except ConnectionError:
        pass
    finally:
        child.stdin.close()


async def _tail(stream: asyncio.StreamReader | None) -> str:
    """The end of what the child says, however much that is."""
    assert stream is not None
    kept = b""
    while chunk := await stream.read(ANSWER_LIMIT):
        kept = (kept + chunk)[-ANSWER_LIMIT:]
    return kept.decode(errors="replace").strip()


def _judge(path: Path, status: int, answer: str, complaint: str) -> None:
    """Nothing, when the child found the model good. Raises ModelRefused."""
    if status < 0:
        what = signal.strsignal(-status) or "an unknown signal"
        if -status in (signal.SIGXCPU, signal.SIGKILL):
            raise ModelRefused(f"{path}: it was stopped ({what}), because it used too much time or memory", "slow")
        raise ModelRefused(f"{path}: the runtime died while it ran the model ({what})", "broken")
    try:
        said = json.loads(answer.splitlines()[-1])
        word, message = str(said["word"]), str(said["message"])
    except (IndexError, KeyError, TypeError, ValueError):
        last = (complaint.splitlines() or ["it said nothing"])[-1][:200]
        raise ModelRefused(f"{path}: the process that proves models failed with status {status}: {last}", "broken") from None
    if word != "ok" or status:
        raise ModelRefused(message, word if word != "ok" else "broken")
