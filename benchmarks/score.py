"""What a score costs: through the agent beside a bare run of the same graph, and what a model adds to the agent's memory.

    python -m benchmarks.score [--json]

One row, one thread, the model attack_risk that comes with the agent, on its own golden inputs: those that stay below the
threshold, as nearly every row on a gateway does, and those that do not, whose drivers and class are named as well.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from itertools import compress, cycle
from operator import not_
from pathlib import Path

import numpy as np
import onnxruntime

from agent.records import Reading
from agent.scoring import trust
from agent.scoring.session import INPUT, LoadedModel, load
from agent.stages.score import Score, Scores, Scoring
from agent.vocabulary import point
from benchmarks.figures import Figure, figure, interleaved, main

MODEL = Path(__file__).parents[1] / "models" / "attack_risk" / "attack_risk.onnx"
ROUNDS, BLOCKS, SIZE = 9, 10, 400
MEMORY_ROUNDS = 5
LIMIT_KB, LIMIT_MB = 200, 12

# what a process holds after the runtime's import, and after a model was loaded and has scored
MEMORY = """
import sys, time
from pathlib import Path
import onnxruntime, numpy
import agent.stages.score, agent.scoring.card
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
before = resident()
from agent.scoring import trust
from agent.scoring.session import load
path = Path(sys.argv[1])
data = trust.read(path)
model = load(path, data, trust.sha256(data), 1.0, time.perf_counter)
del data
for _ in range(2000):
    model([float("nan")] * len(model.card.features))
print(resident() - before)
"""


def measure(say: Callable[[str], None]) -> list[Figure]:
    """All figures."""
    data = trust.read(MODEL)
    model = load(MODEL, data, trust.sha256(data), 1.0, time.perf_counter)
    say(f"{MODEL.name}: {model.id}, {len(model.card.features)} features, onnxruntime {onnxruntime.__version__}")
    model.explain_from = model.card.threshold  # as in the agent
    calm, alarming = rows_of(model)
    subjects = {
        "bare": bare(data, calm),
        "score": asking(model, calm),
        "explained": asking(model, alarming),
        "stage": stage(model),
        "features": stage(model, lambda _: None),
    }
    seconds = interleaved(subjects, ROUNDS, BLOCKS, SIZE)
    ratio = [ours / theirs for ours, theirs in zip(seconds["score"], seconds["bare"], strict=True)]
    named = [ours / theirs for ours, theirs in zip(seconds["explained"], seconds["bare"], strict=True)]
    say("memory: a process a round")
    memory = [resident_of_a_model() / 1e6 for _ in range(MEMORY_ROUNDS)]
    micro = {name: [each * 1e6 for each in values] for name, values in seconds.items()}
    graph = "onnxruntime's own run of the same graph"
    return [
        figure("score_vs_bare", ratio, "ratio", graph, "<= 1.5"),
        figure("explained_vs_bare", named, "ratio", f"{graph}; scores whose drivers are named"),
        figure("bare", micro["bare"], "us", "nothing"),
        figure("score", micro["score"], "us", graph),
        figure("features", micro["features"], "us", "the stage without a model: what making the features costs"),
        figure("stage", micro["stage"], "us", "features, score, Reading and judgement of an alarm together"),
        figure("file", [len(data) / 1000], "kB", "the bytes of the .onnx", f"<= {LIMIT_KB}"),
        figure("memory", memory, "MB", "the same process after the runtime's import", f"<= {LIMIT_MB}"),
    ]


def rows_of(model: LoadedModel) -> tuple[list[list[float]], list[list[float]]]:
    """The golden inputs whose scores stay below the threshold, and the others."""
    rows = [[float("nan") if value is None else value for value in row] for row in model.card.golden.inputs]
    above = [score >= model.card.threshold for score in model.card.golden.scores]
    return list(compress(rows, map(not_, above))), list(compress(rows, above))


def bare(data: bytes, given: list[list[float]]) -> Callable[[], None]:
    """The graph alone, as its runtime's documentation runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    rows = cycle([np.asarray([row], dtype=np.float32) for row in given])

    def run() -> None:
        session.run(None, {INPUT: next(rows)})

    return run


def asking(model: LoadedModel, given: list[list[float]]) -> Callable[[], None]:
    """The model as the agent has it: from a list of numbers to a Score."""
    rows = cycle(given)

    def run() -> None:
        model(next(rows))

    return run


def stage(model: LoadedModel, instead: Callable[[object], Score | None] | None = None) -> Callable[[], None]:
    """The stage: a quarter of an hour of Readings behind it, a score every five seconds."""
    scoring = Scoring("attack_risk", model.parsed, instead or model, 1.0)
    scores = Scores("M", scoring)
    now = 1_000_000.0
    for second in range(900):
        for feature in scoring.features:
            entry = point(feature.point)
            assert entry is not None
            value = entry.words[second // 60 % len(entry.words)] if entry.words else float(second % 7)
            scores.feed(Reading("M", feature.point, value, now + second))
    moments = iter(range(10**9))

    def run() -> None:
        scores.tick(now + 900 + next(moments) * 1e-3)

    return run


def resident_of_a_model() -> int:
    """Bytes that one model adds to a process that has the runtime."""
    done = subprocess.run([sys.executable, "-c", MEMORY, str(MODEL)], capture_output=True, text=True, check=True)
    return int(done.stdout)


if __name__ == "__main__":
    main("score", measure, __doc__)
