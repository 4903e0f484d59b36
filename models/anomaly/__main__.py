"""`python -m models.anomaly train|evaluate`: export the anomaly graph with a pace that suits labelled series; measure it."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from math import isnan
from pathlib import Path
from typing import TypeVar

from agent.scoring.baseline import Pace
from models.anomaly import worlds
from models.anomaly.choose import Choice, Chosen, choose
from models.anomaly.evaluate import THRESHOLD, Result, evaluate, mean, open_graph
from models.anomaly.export import export, read_pace
from models.anomaly.plot import plot, plot_choice
from models.anomaly.series import Series, read, read_windows
from models.command import SEED, among, ended
from models.data import DataError, check_outputs, whole

PICTURES = ("draw VUS-PR of every pace", "draw each file with its scores")
HERE = Path(__file__).parent
SHIPPED = HERE / "anomaly.onnx"
Item = TypeVar("Item")
MEASURES: Sequence[tuple[str, Callable[[Result], float]]] = (
    ("VUS-PR", lambda result: result.vus_pr),
    ("VUS-PR in hindsight", lambda result: result.vus_pr_in_hindsight),
    ("AUC", lambda result: result.auc),
    ("F1", lambda result: result.f1),
    ("false alarm rate", lambda result: result.false_rate),
    ("missed alarm rate", lambda result: result.missed_rate),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0; 1 when a file cannot be used, which is said in one line; 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    return ended("anomaly", options.run, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.anomaly", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="train|evaluate")
    train = commands.add_parser("train", help="choose the pace on labelled series, export anomaly.onnx and its card")
    train.add_argument("--data", nargs="+", type=Path, metavar="FILE", default=[], help="without it: the pace that is in use")
    train.add_argument("--report", nargs="+", type=Path, metavar="FILE", default=[], help="measured, and no part of the choice")
    train.add_argument("--out", type=Path, default=SHIPPED, metavar="FILE", help="the .onnx; its card.md goes beside it")
    train.add_argument("--seed", type=SEED, default=1, help="of the simulated machine in the card's golden rows")
    train.set_defaults(run=_train)
    judge = commands.add_parser("evaluate", help="learn on the first rows of each file, score the others, measure")
    judge.add_argument("--data", nargs="+", type=Path, metavar="FILE", default=[], help="CSV: a header, then a row a moment")
    judge.add_argument("--worlds", type=among(0, 10**9), default=0, metavar="N", help="N simulated machines instead of files")
    judge.add_argument("--model", type=Path, default=SHIPPED, metavar="FILE", help="default: the one that ships")
    judge.add_argument("--out", type=Path, metavar="FILE", help="write every row's score as CSV")
    judge.add_argument("--seed", type=SEED, default=0, help="the first simulated machine")
    judge.set_defaults(run=_evaluate)
    for each, command in enumerate((train, judge)):
        command.add_argument("--label", metavar="COLUMN", help="of the labels; else label, is_anomaly or anomaly")
        command.add_argument("--train-rows", type=among(0, 10**9), metavar="N", help="else from the name (tr_N), else a quarter")
        command.add_argument("--windows", type=Path, metavar="JSON", help="NAB's labels, for files without a column of labels")
        command.add_argument("--json", action="store_true", help="one JSON object instead of tables")
        command.add_argument("--plot", type=Path, metavar="FILE.png", help=PICTURES[each])
    return parser


def _series(options: argparse.Namespace, paths: Sequence[Path], *, unlabelled: bool = False) -> list[Series]:
    windows = read_windows(options.windows) if options.windows is not None else None
    return [
        read(path, options.label, options.train_rows, windows if _unlabelled(path) else None, unlabelled=unlabelled)
        for path in paths
    ]


def _unlabelled(path: Path) -> bool:
    """Whether --windows, when given, is meant for this file: those of TSB-AD bring their labels along."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return "label" not in file.readline().lower()
    except (OSError, UnicodeDecodeError):
        return False


def _progress(items: Iterable[Item], what: str, total: int) -> Iterable[Item]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import track

    return track(items, what, total, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)


def _train(options: argparse.Namespace) -> int:
    check_outputs(options.out, options.plot)
    files, others = _series(options, options.data), _series(options, options.report)
    if others and not files:
        raise DataError("--report: goes with --data, on which the pace is chosen")
    if options.out.suffix != ".onnx" or options.out.stem != "anomaly":
        raise DataError(f"{options.out}: the graph is called anomaly.onnx; name a file of that name in the folder you want")
    choice = Choice.of(files, list(_progress(choose(files), "choosing", len(files)))) if files else None
    reported = Choice.of(others, list(_progress(choose(others), "reporting", len(others)))) if others else None
    if choice is not None and options.plot is not None:
        plot_choice(choice, [each.name for each in files], options.plot)
    chosen = Chosen(choice, files, reported, others)
    path = export(chosen, options.out.parent, options.seed)
    if options.json:
        print(json.dumps(_told(chosen) | {"file": str(path), "bytes": path.stat().st_size}))
        return 0
    if choice is not None:
        print(f"{'fast':>6} {'slow':>6} {'damp':>6} {'fade':>6}  VUS-PR  lowest file")
        for pace, figure, lowest in choice.ranked():
            print(f"{pace.fast:6g} {pace.slow:6g} {pace.damp:6g} {pace.fade:6g}  {figure:6.3f}  {lowest:6.3f}")
        print(f"each file with the pace that is best on the others: {choice.left_out().mean():.3f}")
        for name, figures in choice.folder_left_out().items():
            print(f"{name} ({len(figures)} files) with the pace that is best on the other folders: {figures.mean():.3f}")
    if reported is not None:
        figures = reported.of_pace(chosen.pace)
        spread = f"{figures.min():.2f} to {figures.max():.2f}"
        print(f"{len(figures)} files that had no part in the choice: {figures.mean():.3f} ({spread})")
    print(f"{path}: {path.stat().st_size} bytes")
    return 0


def _told(chosen: Chosen) -> dict[str, object]:
    choice = chosen.choice
    if choice is None:
        return {}
    ranked = [{"pace": [pace.fast, pace.slow, pace.damp, pace.fade], "vus_pr": mean} for pace, mean, _ in choice.ranked()]
    folders = {name: float(figures.mean()) for name, figures in choice.folder_left_out().items()}
    reported = {each.name: float(figure) for each, figure in zip(chosen.others, chosen.figures, strict=True)}
    return {
        "ranked": ranked,
        "left_out": float(choice.left_out().mean()),
        "folder_left_out": folders,
        "reported": reported,
        "reported_mean": float(chosen.figures.mean()) if reported else None,
    }


def _evaluate(options: argparse.Namespace) -> int:
    check_outputs(options.out, options.plot)
    if bool(options.data) == bool(options.worlds):
        raise DataError("give either files with --data or a number of simulated machines with --worlds")
    run, pace = open_graph(options.model), read_pace(options.model)
    if options.worlds:
        return _evaluate_worlds(options, pace)
    files = _series(options, options.data, unlabelled=True)
    for series in files:
        if series.counting:
            print(f"{series.path}: columns that count the rows are left out: {', '.join(series.counting)}", file=sys.stderr)
        if series.left_out:
            print(f"{series.path}: columns that change least are left out: {', '.join(series.left_out)}", file=sys.stderr)
        if tainted := int(series.labels[: series.trained].sum()):
            print(f"{series.path}: {tainted} of the rows to learn from are labelled, and count as usual", file=sys.stderr)
        if not series.labelled:
            print(f"{series.path}: no row is labelled (--label names the column), so only alarms are told", file=sys.stderr)
    done = [evaluate(run, series, pace) for series in _progress(files, "scoring", len(files))]
    results = [result for result, _ in done]
    if options.out is not None:
        with whole(options.out) as draft, draft.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("file", "row", "score", "label"))
            for series, (_, scores) in zip(files, done, strict=True):
                writer.writerows(
                    (series.name, row, f"{score:.6g}", int(label))
                    for row, (score, label) in enumerate(zip(scores, series.labels, strict=True))
                )
    if options.plot is not None:
        plot([(series, result, scores) for series, (result, scores) in zip(files, done, strict=True)], options.plot)
    if options.json:
        means = {name: {"mean": _json(value), "error": error} for name, value, error in _means(results)}
        print(json.dumps({"threshold": THRESHOLD, "files": [result.row() for result in results], "mean": means}))
    else:
        _print(results)
    return 0


def _means(results: Sequence[Result]) -> list[tuple[str, float, float]]:
    return [(name, *mean(results, figure)) for name, figure in MEASURES]


def _json(value: float) -> float | None:
    return None if isnan(value) else value


def _cell(value: float) -> str:
    return "-" if isnan(value) else f"{value:.3f}"


def _print(results: Sequence[Result]) -> None:
    wide = max(len(result.name) for result in results)
    print(f"{'file':{wide}}   rows  learned  window  VUS-PR (hindsight)   AUC     F1  false  missed  spans found  false alarms")
    for one in results:
        print(
            f"{one.name:{wide}} {one.rows:6} {one.trained:8} {one.window:7}  {_cell(one.vus_pr):>6} "
            f"{_cell(one.vus_pr_in_hindsight):>11} {_cell(one.auc):>6} {_cell(one.f1):>6} {_cell(one.false_rate):>6} "
            f"{_cell(one.missed_rate):>7} {one.found:8}/{one.spans:<3} {one.false_alarms:12}"
        )
    print()
    for name, value, error in _means(results):
        print(f"{name:20} {_cell(value):>6}" + (f" ± {error:.3f} (standard error over {len(results)} files)" if error else ""))
    print(f"false and missed alarm rate, F1: of rows, at a score of {THRESHOLD:g}; nothing is scored in the rows learned from")


def _evaluate_worlds(options: argparse.Namespace, pace: Pace) -> int:
    run = open_graph(options.model)
    lives: list[worlds.Life] = []
    troubles: list[worlds.Trouble] = []
    for number in _progress(range(options.seed, options.seed + options.worlds), "living", options.worlds):
        baseline, life = worlds.live(run, number, pace)
        lives.append(life)
        troubles += [worlds.suffer(run, baseline, number, scenario) for scenario in worlds.TROUBLES]
    alarms, unexplained = worlds.per_month(lives)
    if options.json:
        rows = [
            {"machine": each.machine, "scenario": each.scenario, "after_s": each.after_s, "drivers": each.drivers}
            for each in troubles
        ]
        print(json.dumps({"alarms_per_month": alarms, "unexplained_per_month": unexplained, "troubles": rows}))
        return 0
    print(f"{options.worlds} machines, {worlds.LEARNED} days learned, {worlds.LIVED} days of ordinary life:")
    print(f"  alarms per machine and month: {alarms:.2f}, of which without any fault, visit or disturbance: {unexplained:.2f}")
    for scenario in worlds.TROUBLES:
        times = sorted(each.after_s for each in troubles if each.scenario == scenario and each.after_s is not None)
        middle = f"median {times[len(times) // 2] / 3600:.1f} h after it began" if times else ""
        print(f"  {scenario:22} found {len(times)} of {options.worlds}  {middle}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
