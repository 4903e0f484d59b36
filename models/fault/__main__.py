"""`python -m models.fault train|evaluate`: simulated lives of cash machines, or, with --data, AI4I 2020 as the yardstick."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import onnx

from models import card
from models.command import SEED, among, ended
from models.data import DataError, check_outputs, write
from models.fault import milling, train
from models.fault.learn import LEAST_LIVES, forget, judge, learn, lives
from models.fault.worlds import FEATURES, Group, Lived

Item = TypeVar("Item")
COUNT = among(1, 10_000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0; 1 when something cannot be used, which is said in one line; 2 for wrong usage."""
    options = _parse(arguments)
    return ended("fault", options.run, options)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.fault", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="train|evaluate")
    training = actions.add_parser("train", help="learn, measure on what was left out, export")
    training.set_defaults(run=_train)
    training.add_argument("--out", type=Path, metavar="DIR", help="where the .onnx and its card go")
    judging = actions.add_parser("evaluate", help="measure on machines or folds that were left out")
    judging.set_defaults(run=_evaluate)
    judging.add_argument("--model", type=Path, default=train.SHIPPED, metavar="FILE", help="without --data: the file to measure")
    judging.add_argument("--out", type=Path, metavar="FILE", help="write the measures as JSON")
    for each in (training, judging):
        each.add_argument("--data", type=Path, metavar="FILE.csv", help="ai4i2020.csv instead of simulated machines")
        each.add_argument("--repeats", type=COUNT, default=3, metavar="N", help="with --data: five-fold cross-validations")
        each.add_argument("--lives", type=COUNT, default=56, metavar="N", help="machines to learn from (default: %(default)s)")
        each.add_argument("--report", type=COUNT, default=32, metavar="N", help="machines to judge on (default: %(default)s)")
        each.add_argument("--jobs", type=among(1, 64), default=1, metavar="N", help="processes that simulate")
        each.add_argument("--seed", type=SEED, default=1)
        each.add_argument("--json", action="store_true", help="one JSON object instead of tables")
        each.add_argument("--plot", type=Path, metavar="FILE.png", help="ROC and calibration")
    return parser.parse_args(arguments)


def _train(options: argparse.Namespace) -> int:
    check_outputs((options.out or train.HERE) / train.SHIPPED.name, options.plot)
    if options.data is not None:
        if options.out is None:
            raise DataError("--data: name a folder with --out; the model that ships comes from simulated machines")
        options.out.mkdir(parents=True, exist_ok=True)
        data, repeats = _cross_validated(options)
        path = train.of_milling(data, repeats, options.seed, options.out)
        return _say_milling(options, repeats, {"file": str(path), "bytes": path.stat().st_size})
    if options.lives < LEAST_LIVES:
        raise DataError(f"--lives {options.lives}: at least {LEAST_LIVES} machines are needed to learn from")
    out = options.out or train.HERE
    out.mkdir(parents=True, exist_ok=True)
    learned = list(_bar(lives(Group.TRAIN, options.lives, options.jobs), "lives to learn from", options.lives))
    forest, threshold = learn(learned, options.seed)
    reported = list(_bar(lives(Group.REPORT, options.report, options.jobs), "lives to judge on", options.report))
    judged = judge(forest.score, threshold, reported)
    path = train.of_lives(forest, threshold, learned, judged, out)
    forget()
    return _say_lives(options, reported, path, threshold, {"file": str(path), "bytes": path.stat().st_size})


def _evaluate(options: argparse.Namespace) -> int:
    check_outputs(options.out, options.plot)
    if options.data is not None:
        return _say_milling(options, _cross_validated(options)[1], {})
    threshold = _threshold(options.model)
    reported = list(_bar(lives(Group.REPORT, options.report, options.jobs), "lives", options.report))
    forget()
    return _say_lives(options, reported, options.model, threshold, {"model": str(options.model)})


def _threshold(path: Path) -> float:
    """Of a file of this kind. Raises DataError."""
    try:
        entries = {entry.key: entry.value for entry in onnx.load_from_string(path.read_bytes()).metadata_props}
        content = json.loads(entries[card.CARD_KEY])
        features, threshold = tuple(content["features"]), float(content["threshold"])
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; name a file that `python -m models.fault train` wrote") from error
    except Exception as error:  # protobuf's errors have no common class
        raise DataError(f"{path}: is no model of fault ({type(error).__name__}); train one") from error
    if features != FEATURES:
        raise DataError(f"{path}: has other features than simulated machines give; name a file trained without --data")
    return threshold


def _cross_validated(options: argparse.Namespace) -> tuple[milling.Milling, list[milling.Repeat]]:
    data = milling.read(options.data)
    found = milling.cross_validate(data, options.repeats, options.seed)
    return data, list(_bar(found, "cross-validating", options.repeats))


def _say_milling(options: argparse.Namespace, repeats: Sequence[milling.Repeat], said: dict[str, Any]) -> int:
    found = train.summary(repeats)
    if options.plot is not None:
        from models.tabular.plot import draw

        draw(repeats[0].labels, repeats[0].scores, f"{options.data.name}, out of fold", options.plot)
    _say(options, {**said, "protocol": "AI4I 2020, five-fold, out of fold", "repeats": len(repeats), "measures": found})
    if not options.json:
        _table({name: f"{each['mean']:.4f} ± {each['deviation']:.4f}" for name, each in found.items()})
    return 0


def _say_lives(options: argparse.Namespace, reported: Sequence[Lived], path: Path, threshold: float, said: dict[str, Any]) -> int:
    ask = train.ask(path)
    found = judge(ask, threshold, reported).measures()
    if options.plot is not None:
        from models.fault.learn import together
        from models.tabular.plot import draw

        rows, labels, _ = together(reported)
        draw(labels, ask(rows), f"{path.name}, machines that training never met", options.plot)
    _say(options, {**said, "threshold": threshold, "measures": found})
    if not options.json:
        _table({name: str(value) for name, value in found.items() if name != "by_fault"})
        _table({f"AUC before {name}": f"{each['auc']} ({each['rows']} rows)" for name, each in found["by_fault"].items()})
    return 0


def _say(options: argparse.Namespace, said: dict[str, Any]) -> None:
    if getattr(options, "out", None) is not None and options.run is _evaluate:
        write(options.out, json.dumps(said, indent=1) + "\n")
    if options.json:
        print(json.dumps(said))
        return
    for name, value in said.items():
        if name != "measures":
            print(f"{name}: {value}")


def _table(rows: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value")
    for name, value in rows.items():
        table.add_row(name.replace("_", " "), value)
    Console(highlight=False).print(table)


def _bar(items: Iterable[Item], what: str, total: int) -> Iterable[Item]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, what, total, console=console, disable=not console.is_terminal, transient=True)


if __name__ == "__main__":
    sys.exit(main())
