"""The card of a model: one JSON object inside the .onnx (metadata `card`), and the same for people as card.md beside it.

name, version           what it is called; the file is NAME.onnx
features                in the order of the graph's input, with units and windows where the pipeline makes them
threshold               above it the gateway acts
golden                  inputs (null = missing) and the outputs that the exporter's runtime gave for them
intended_use, limits    plain sentences
data                    what it was trained on: name, sha256 of the file or seeds of the worlds, licence
measures                name -> {value, protocol, spread}
versions                of Python and the packages that made it
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from models import data

CARD_KEY = "card"
OPSETS = {"": 17, "ai.onnx.ml": 3}  # the runtimes that the agent supports (onnxruntime 1.20 and later) all have them
IR_VERSION = 9


def versions(*packages: str) -> dict[str, str]:
    """Python's version and those of the named packages."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def histogram(column: NDArray[np.floating[Any]], bins: int = 10) -> dict[str, list[float]]:
    """How a feature is spread over rows: edges, the share of the rows below, between and above them, and last of what is NaN."""
    known = column[~np.isnan(column)].astype(float)
    quantiles = np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]) if len(known) else np.empty(0)
    edges = sorted({float(f"{edge:.4g}") for edge in quantiles})
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    shares = [*counts, len(column) - len(known)]
    return {"edges": edges, "shares": [round(float(count) / len(column), 5) for count in shares]}


def write(graph: onnx.GraphProto, card: Mapping[str, Any], folder: Path) -> Path:
    """Check the graph, put the card into it, write NAME.onnx, its .sha256 and card.md. Returns the path of the .onnx.

    The bytes depend on graph and card alone: the same training gives the same file.
    """
    domains = sorted({"", *(node.domain for node in graph.node)})
    opsets = [onnx.helper.make_opsetid(domain, OPSETS[domain]) for domain in domains]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    model.producer_name = "atm-edge-agent"
    entry = model.metadata_props.add()
    entry.key, entry.value = CARD_KEY, json.dumps(card, ensure_ascii=False, sort_keys=True)
    onnx.checker.check_model(model, full_check=True)
    path, content = folder / f"{card['name']}.onnx", model.SerializeToString(deterministic=True)
    digest = hashlib.sha256(content).hexdigest()
    files = {
        path: content,
        folder / f"{path.name}.sha256": f"{digest}  {path.name}\n".encode(),  # the gateway compares; so does sha256sum -c
        folder / "card.md": page(card, digest, len(content)).encode(),
    }
    with ExitStack() as drafts:  # all of them or none
        for each, text in files.items():
            drafts.enter_context(data.whole(each)).write_bytes(text)
    return path


def page(card: Mapping[str, Any], digest: str, size: int) -> str:
    """The card for people. `digest` and `size`: of the file."""
    lines = [f"# {card['name']} {card['version']}", ""]
    lines += [f"sha256 `{digest}`, {size} bytes", ""]
    for title, key in (("Intended use", "intended_use"), ("Limits", "limits")):
        lines += [f"## {title}", str(card[key]), ""]
    lines += ["## Features, in order", *_table(("#", "feature"), enumerate(card["features"], 1)), ""]
    lines += [f"Threshold: {card['threshold']}", ""] if card.get("threshold") is not None else []
    lines += ["## Trained on", *_table(("data", "what"), card["data"].items()), ""]
    measures = ((name, each["value"], each.get("spread", ""), each["protocol"]) for name, each in card["measures"].items())
    lines += ["## Measures", *_table(("measure", "value", "spread", "protocol"), measures), ""]
    lines += ["## Made with", *_table(("package", "version"), card["versions"].items()), ""]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Any) -> list[str]:
    body = [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *body]
