"""`python -m agent.scoring.probe FILE [--key PEM …] [--budget SECONDS] < FILE`: prove a model in a process that may die of it.

The file's bytes come on standard input, so that what was proved is what is loaded afterwards. Standard output gets one JSON
object: {"word": "ok"}, or a word and a message. A runtime that was built for another processor dies here of SIGILL
(onnxruntime issue 24112), a model that wants all memory gets no more than a bound, and one that never ends is killed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from agent.errors import EXIT_FAILED, EXIT_OK, ModelRefused
from agent.scoring import trust

MEMORY_LIMIT = 512 * 1024 * 1024  # bytes of address space; the runtime itself maps 150 MB
CPU_LIMIT = 60  # s; loading the runtime takes some ten seconds on the slowest board
ROUNDS = 9  # scores that are timed


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when the model may be used, 1 when not."""
    args = _parse(arguments)
    _bound()
    word, message = "ok", ""
    try:
        _prove(args, sys.stdin.buffer.read(trust.READ_LIMIT + 1))
    except ModelRefused as error:
        word, message = error.word, str(error)
    except MemoryError:
        word, message = "broken", f"{args.file}: wants more memory than {MEMORY_LIMIT} bytes"
    sys.stdout.write(json.dumps({"word": word, "message": message}) + "\n")
    return EXIT_OK if word == "ok" else EXIT_FAILED


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="agent.scoring.probe")
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", type=Path, action="append", default=[])
    parser.add_argument("--budget", type=float, default=1.0)
    parser.add_argument("--demand", action="store_true", help="a model of demand")
    parser.add_argument("--of-table", action="store_true", help="its features may be columns of a table")
    return parser.parse_args(arguments)


def _bound() -> None:
    """Nothing that the model does may harm the gateway."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    with contextlib.suppress(PermissionError):  # the unit's sandbox forbids it, and weighs the whole agent instead
        os.nice(5)


def _prove(args: argparse.Namespace, data: bytes) -> None:
    if args.key:
        trust.check_signature(args.file, data, tuple(args.key))
    ask = _demand(args.file, data) if args.demand else _scores(args, data)
    times: list[float] = []
    while len(times) < ROUNDS and sum(times) <= ROUNDS * args.budget:
        started = time.perf_counter()
        ask()
        times.append(time.perf_counter() - started)
    if median(times) > args.budget:
        raise ModelRefused(f"{args.file}: a score takes {median(times):.3f} s, its budget is {args.budget:g} s", "slow")


def _scores(args: argparse.Namespace, data: bytes) -> Callable[[], object]:
    """What asks it for one score."""
    from agent.scoring.loading import load_any  # noqa: PLC0415  nothing looks into a file that nobody vouches for

    model = load_any(args.file, data, trust.sha256(data), args.budget, time.perf_counter, of_table=args.of_table)
    return partial(model.run, model.card.golden.inputs[0])


def _demand(path: Path, data: bytes) -> Callable[[], object]:
    from agent.scoring.demand import load_demand  # noqa: PLC0415

    return load_demand(path, data, trust.sha256(data)).golden


if __name__ == "__main__":
    sys.exit(main())
