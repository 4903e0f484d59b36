"""`python -m models.tabular train|evaluate`: a CSV with a label to a model, measured and explained."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import card
from models.command import SEED, among, ended
from models.data import DataError, check_outputs, whole
from models.tabular import export, measure
from models.tabular.encode import check_leaks, usable
from models.tabular.kinds import EXPLANATIONS, KINDS
from models.tabular.measure import FOLDS, Fold
from models.tabular.table import Labelled, label, read

DRIVERS = 3  # columns named beside a score
SHOWN = 8  # columns in a table
MEASURES = {"auc": "AUC", "accuracy": "accuracy", "brier": "Brier", "calibration_error": "calibration error"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0; 1 when a file cannot be used, which is said in one line; 2 for wrong usage."""
    options = _parse(arguments)
    return ended("tabular", options.run, options)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.tabular", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="train|evaluate")
    training = actions.add_parser("train", help="split, learn, test, cross-validate, export")
    training.set_defaults(run=_train)
    training.add_argument("--out", type=_onnx, default=Path("model.onnx"), metavar="FILE.onnx", help="the card goes beside it")
    training.add_argument("--test", type=_share, default=0.25, metavar="SHARE", help="held out for the test (default: 0.25)")
    training.add_argument("--licence", default="not stated", metavar="TEXT", help="of the data, for the card")
    judging = actions.add_parser("evaluate", help="measure a file on rows it did not learn, or cross-validate a kind of model")
    judging.set_defaults(run=_evaluate)
    judging.add_argument("--out", type=Path, metavar="FILE.csv", help="write each row's score and what drove it")
    kinds = ", ".join(KINDS)
    for each in (training, judging):
        each.add_argument("--data", type=Path, required=True, metavar="FILE.csv")
        each.add_argument("--label", required=True, metavar="COLUMN")
        each.add_argument("--positive", default="1", metavar="VALUE", help="of the label (default: 1)")
        each.add_argument("--drop", action="append", default=[], metavar="COLUMN", help="leave it out; may be repeated")
        each.add_argument("--keep", action="append", default=[], metavar="COLUMN", help="use it whatever it looks like")
        each.add_argument("--repeats", type=among(1, 100), default=3, metavar="N", help=f"of the {FOLDS}-fold cross-validation")
        each.add_argument("--seed", type=SEED, default=1)
        each.add_argument("--json", action="store_true", help="one JSON object instead of tables")
        each.add_argument("--plot", type=Path, metavar="FILE.png", help="calibration and ROC")
    training.add_argument("--model", choices=tuple(KINDS), default="logistic", help="default: %(default)s")
    judging.add_argument("--model", default="logistic", metavar="KIND|FILE.onnx", help=f"{kinds}, or a file")
    return parser.parse_args(arguments)


def _onnx(text: str) -> Path:
    if not text.endswith(".onnx"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a name that ends in .onnx")
    return Path(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.05 <= value <= 0.5:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share from 0.05 to 0.5")
    return value


def _prepare(options: argparse.Namespace) -> tuple[Labelled, list[str]]:
    """The rows with their labels and only useful columns, and what there is to say of them."""
    labelled = label(read(options.data), options.label, options.positive)
    for name in options.keep:
        labelled.table.column(name)  # or what was meant is left out in silence
    table, notes = usable(labelled.table.without(options.drop), labelled.labels, options.keep)
    check_leaks(table, labelled.labels, options.keep)
    return Labelled(table, labelled.labels, labelled.notes), [*labelled.notes, *notes]


def _train(options: argparse.Namespace) -> int:
    check_outputs(options.out, options.plot)
    labelled, notes = _prepare(options)
    table, labels = labelled.table, labelled.labels
    folds = _folds(labelled, options.model, options)
    learned, held = measure.split(labels, options.test, options.seed)
    encoding = measure.encoded(table, labels, learned)
    rows = encoding.encode(table)
    model = KINDS[options.model](rows[learned], labels[learned], encoding, options.seed)
    tested = measure.measure(labels[held], model.score(rows[held]))
    about = {
        "kind": options.model,
        "label": options.label,
        "positive": options.positive,
        "split": {"sha256": card.sha256(options.data), "test": options.test, "seed": options.seed},
        "data": {
            options.data.name: f"{len(labels)} rows, {labels.mean():.4f} positive; sha256 {card.sha256(options.data)}; licence: "
            f"{options.licence}"
        },
        "measures": _for_card(tested, folds, options),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    path = export.write(model, encoding, rows[learned], about, options.out)
    scores, contributions = export.read(path)(rows[held])
    drivers = export.strongest(encoding.names, contributions)
    if options.plot is not None:
        _plot(labels[held], scores, f"{options.data.name}, {options.model}, held out", options.plot)
    said = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "model": options.model,
        "rows": len(labels),
        "notes": notes,
        "test": measure.rounded(tested),
        "calibration": [[round(value, 4) for value in each] for each in measure.calibration(labels[held], scores)],
        "cross_validation": _spread(folds),
        "strongest": {name: round(size, 4) for name, size in drivers},
        "explanation": EXPLANATIONS[options.model],
    }
    _say(options, said)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    check_outputs(options.out, options.plot)
    if options.model.endswith(".onnx"):
        return _measure_file(options, Path(options.model))
    if options.model not in KINDS:
        raise DataError(f"--model {options.model!r}: expected {', '.join(KINDS)}, or a file that ends in .onnx")
    labelled, notes = _prepare(options)
    folds = _folds(labelled, options.model, options)
    labels = np.concatenate([labelled.labels[fold.rows] for fold in folds])
    scores = np.concatenate([fold.scores for fold in folds])
    if options.plot is not None:
        _plot(labels, scores, f"{options.data.name}, {options.model}, out of fold", options.plot)
    if options.out is not None:
        lines = [labelled.table.lines[row] for fold in folds for row in fold.rows]
        _write_scores(options.out, lines, labels, scores, [""] * len(lines))
    _say(options, {"model": options.model, "rows": len(labelled.labels), "notes": notes, "cross_validation": _spread(folds)})
    return 0


def _measure_file(options: argparse.Namespace, path: Path) -> int:
    """An exported file on rows that it did not learn from."""
    model = export.read(path)
    labelled = label(read(options.data), options.label, options.positive, least=False)
    notes, chosen = list(labelled.notes), np.arange(len(labelled.labels))
    past = model.card["split"]
    if past["sha256"] == card.sha256(options.data):
        chosen = measure.split(labelled.labels, past["test"], past["seed"])[1]
        notes.append(f"it learned from this very file: only the {len(chosen)} rows that were held out then are measured")
    labels = labelled.labels[chosen]
    if labels.all() or not labels.any():
        raise DataError(f"{options.data}: all {len(labels)} rows have the same label; nothing can be measured")
    rows = model.encoding.encode(labelled.table.take(chosen))
    scores, contributions = model(rows)
    if options.plot is not None:
        _plot(labels, scores, f"{options.data.name}, {path.name}", options.plot)
    if options.out is not None:
        lines = [labelled.table.lines[row] for row in chosen]
        _write_scores(options.out, lines, labels, scores, _reasons(model.encoding.names, contributions))
    said = {
        "model": str(path),
        "rows": len(labels),
        "notes": notes,
        "test": measure.rounded(measure.measure(labels, scores)),
        "calibration": [[round(value, 4) for value in each] for each in measure.calibration(labels, scores)],
        "strongest": {name: round(size, 4) for name, size in export.strongest(model.encoding.names, contributions)},
        "explanation": model.card["explanation"],
    }
    _say(options, said)
    return 0


def _reasons(names: Sequence[str], contributions: NDArray[np.float64]) -> list[str]:
    """What drove each score, the strongest first."""
    order = np.argsort(-np.abs(contributions), axis=1)[:, :DRIVERS]
    return ["; ".join(f"{names[at]} {row[at]:+.3f}" for at in ats) for row, ats in zip(contributions, order, strict=True)]


def _write_scores(
    path: Path, lines: Sequence[int], labels: NDArray[np.bool_], scores: NDArray[np.float64], reasons: Sequence[str]
) -> None:
    with whole(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["line", "label", "score", "drivers"])
        for line, yes, score, reason in zip(lines, labels, scores, reasons, strict=True):
            writer.writerow([line, int(yes), f"{score:.6f}", reason])


def _folds(labelled: Labelled, kind: str, options: argparse.Namespace) -> list[Fold]:
    with _bar("cross-validating", FOLDS * options.repeats) as step:
        folds = measure.cross_validate(labelled.table, labelled.labels, kind, options.repeats, options.seed, step)
        return list(folds)


def _spread(folds: Sequence[Fold]) -> dict[str, Any]:
    found = measure.spread(folds)
    return {"folds": len(folds)} | {
        name: {"mean": round(mean, 5), "fold_deviation": round(deviation, 5)} for name, (mean, deviation) in found.items()
    }


def _for_card(tested: measure.Measures, folds: Sequence[Fold], options: argparse.Namespace) -> dict[str, Any]:
    held = f"{tested.rows} rows held out, stratified, seed {options.seed}; this very file"
    crossed = f"stratified {FOLDS}-fold, {options.repeats} times, models of the same kind"
    found = measure.spread(folds)
    entries = {f"{title}, test": {"value": round(getattr(tested, name), 4), "protocol": held} for name, title in MEASURES.items()}
    return entries | {
        f"{title}, cross-validated": {
            "value": round(found[name][0], 4),
            "spread": f"± {found[name][1]:.4f} over folds",
            "protocol": crossed,
        }
        for name, title in MEASURES.items()
    }


def _plot(labels: NDArray[np.bool_], scores: NDArray[np.float64], title: str, path: Path) -> None:
    from models.tabular.plot import draw

    draw(labels, scores, title, path)


def _say(options: argparse.Namespace, said: dict[str, Any]) -> None:
    if options.json:
        print(json.dumps(said))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    for note in said["notes"]:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    head = f"{said['model']}, {said['rows']} rows"
    console.print(head if "file" not in said else f"{said['file']}: {said['bytes']} bytes; {head}", markup=False)
    table = Table("measure", title_justify="left")
    folds = said.get("cross_validation", {}).get("folds")
    heads = {"test": "held out", "cross_validation": f"cross-validated, {folds} folds"}
    columns = [column for column in heads if column in said]
    for column in columns:
        table.add_column(heads[column])
    for name, title in MEASURES.items():
        table.add_row(title, *(_cell(said[column][name]) for column in columns))
    console.print(table)
    if "calibration" in said:
        table = Table("mean score", "share of positives", "rows", title="calibration", title_justify="left")
        for mean, share, count in said["calibration"]:
            table.add_row(f"{mean:.3f}", f"{share:.3f}", str(count))
        console.print(table)
    if "strongest" in said:
        table = Table("column", "mean size of its contribution", title="what drives the scores", title_justify="left")
        for name, size in list(said["strongest"].items())[:SHOWN]:
            table.add_row(escape(name), f"{size:.3f}")
        console.print(table)
        console.print(said["explanation"], markup=False, soft_wrap=True)


def _cell(value: Any) -> str:
    return f"{value['mean']:.4f} ± {value['fold_deviation']:.4f}" if isinstance(value, dict) else f"{value:.4f}"


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal; what to call after each step."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


if __name__ == "__main__":
    sys.exit(main())
