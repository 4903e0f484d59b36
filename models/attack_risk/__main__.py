"""`python -m models.attack_risk train|evaluate`: learn from simulated worlds, and judge on others."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from models.attack_risk import evaluate, train
from models.attack_risk.evaluate import Outcome
from models.attack_risk.evidence import CLASSES
from models.attack_risk.train import Extent
from models.attack_risk.worlds import ALIKE, Group, Plot
from models.command import SEED, among, ended
from models.data import check_outputs, write
from models.kept import Kept

T = TypeVar("T")
COUNT = among(0, 10**6)
OFTEN = "where_rare_things_happen_often"
TRAIN = Extent(attacks=72, troubles=69, often=12, lives=4)
REPORT = Extent(attacks=60, troubles=46, often=24, lives=13)  # the latter stand for 59 and for 3 machine-months
KINDS = {
    "attacks": "worlds with an attack", "troubles": "worlds with another trouble or something that looks like an attack",
    "often": "times three days in which what is rare happens often", "lives": "weeks of ordinary life",
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, 1 when something failed, 2 for wrong usage."""
    args = _parse(arguments)
    return ended("attack_risk", args.run, args)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.attack_risk", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="train|evaluate")
    training = actions.add_parser("train", help="watch worlds, fit, choose the threshold, export")
    training.set_defaults(run=_train)
    training.add_argument("--out", type=Path, default=train.HERE, metavar="DIR", help="where the .onnx and its card go")
    training.add_argument("--seed", type=SEED, default=1, help="of what is drawn from the rows (default: %(default)s)")
    evaluation = actions.add_parser("evaluate", help="measure an exported model on worlds that training never met")
    evaluation.set_defaults(run=_evaluate)
    evaluation.add_argument("--model", type=Path, default=train.HERE / "attack_risk.onnx", metavar="FILE")
    evaluation.add_argument("--first", type=COUNT, default=0, metavar="N", help="number of the first world of each kind")
    evaluation.add_argument("--out", type=Path, metavar="FILE", help="write the measures as JSON")
    for each, extent in ((training, TRAIN), (evaluation, REPORT)):
        for name, what in KINDS.items():
            default = getattr(extent, name)
            each.add_argument(f"--{name}", type=COUNT, default=default, metavar="N", help=f"{what} (default: {default})")
        each.add_argument("--jobs", type=among(1, 64), default=1, metavar="N", help="processes")
        each.add_argument("--json", action="store_true", help="one JSON object instead of tables")
        each.add_argument("--plot", type=Path, metavar="FILE.png", help="draw how soon attacks are found")
    return parser.parse_args(arguments)


def _extent(args: argparse.Namespace) -> Extent:
    return Extent(args.attacks, args.troubles, args.often, args.lives)


def _train(args: argparse.Namespace) -> int:
    extent = _extent(args)
    if min(args.attacks, args.troubles) < 6 or min(args.often, args.lives) < 2:
        print(
            "attack_risk: training wants 6 worlds of --attacks and --troubles, and 2 of --often and --lives, at least",
            file=sys.stderr,
        )
        return 2
    check_outputs(args.out / "attack_risk.onnx", args.plot)  # an hour later would be late to say that it cannot be
    args.out.mkdir(parents=True, exist_ok=True)
    other, told, studied = train.choosing(extent), train.reporting(extent), train.kept()
    learned = replace(extent, lives=0).plots(Group.TRAIN)
    worlds = _all("worlds to learn from", studied, train.study, learned, args.jobs)
    chosen = _all("worlds to choose by", studied, train.study, other.plots(Group.CHOOSE), args.jobs)
    model, limits = train.finish(worlds, chosen)
    draft = train.write(model, chosen, args.seed, {}, {}, args.out)
    judged = evaluate.kept(draft)
    outcomes = _all("worlds to report", judged, partial(evaluate.judge, draft), told.plots(Group.REPORT), args.jobs)
    measures = evaluate.summary(outcomes)
    path = train.write(model, chosen, args.seed, train.data(extent, limits), evaluate.for_card(measures), args.out)
    _plot(outcomes, args.plot)
    studied.forget()
    judged.forget()
    if args.json:
        thresholds = dict(zip(CLASSES[1:], map(float, limits), strict=True))
        print(json.dumps({"file": str(path), "bytes": path.stat().st_size, "threshold_logits": thresholds, **measures}))
    else:
        print(f"{path}: {path.stat().st_size} bytes")
        _tables(measures)
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    check_outputs(args.out, args.plot)
    plots, judged = _extent(args).plots(Group.REPORT, args.first), evaluate.kept(args.model)
    outcomes = _all("worlds", judged, partial(evaluate.judge, args.model), plots, args.jobs)
    measures = evaluate.summary(outcomes)
    if args.out is not None:
        write(args.out, json.dumps(measures, indent=1) + "\n")
    _plot(outcomes, args.plot)
    judged.forget()
    if args.json:
        print(json.dumps(measures))
    else:
        _tables(measures)
    return 0


def _plot(outcomes: Sequence[Outcome], path: Path | None) -> None:
    found = [each.found for each in outcomes if each.found is not None]
    if path is not None and found:
        from models.attack_risk import plot

        plot.delays(found, path)


def _all(what: str, kept: Kept[T], work: Callable[[Plot], T], plots: Sequence[Plot], jobs: int) -> list[T]:
    """Every world, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return list(track(kept.each(work, plots, jobs), what, len(plots), console=console, disable=not console.is_terminal))


def _tables(measures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160)
    for what, text in (("named", "alarms that name the attack"), ("noticed", "any security alarm of severity 3 or 4")):
        table = Table("attack", "worlds", "rules", "s", "model", "s", "together", "s", title=text, title_justify="left")
        for name, row in measures["attacks"].items():
            cells = [row[f"{what}_by_{by}"] for by in ("rules", "model", "together")]
            table.add_row(name, str(row["worlds"]), *(text for cell in cells for text in _cells(cell)))
        console.print(table)
    for what, name in (("of ordinary life", "false_alarms"), (f"of all that is rare (it comes {ALIKE:g} times as often)", OFTEN)):
        false = measures[name]
        console.print(
            f"false alarms in {false['machine_months']} machine-months {what}: {false['raised']}; not raised by the rules too: "
            f"{false['added']} = {false['per_machine_month']} a month (at most {false['at_most_95']}, 95 %); "
            f"{false['causes'] or 'no cause'}"
        )
    table = Table("trouble that is no attack", "worlds", "with a false alarm", "as", title_justify="left")
    for name, row in measures["troubles"].items():
        table.add_row(name, str(row["worlds"]), str(row["with_false_alarm"]), ", ".join(row["classes"]))
    console.print(table)


def _cells(cell: dict[str, Any]) -> tuple[str, str]:
    """Share found and median delay, each with its 95 % interval."""
    low, high = cell["share_95"]
    early, late = ("never" if each is None else f"{each:.0f}" for each in cell["median_95"])
    middle = "never" if cell["median_s"] is None else f"{cell['median_s']:.0f}"
    return f"{cell['share']:.3f} ({low:.2f}–{high:.2f})", f"{middle} ({early}–{late})"


if __name__ == "__main__":
    sys.exit(main())
