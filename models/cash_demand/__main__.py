"""`python -m models.cash_demand train|evaluate`: learn from a CSV of dates × machines; forecast its last days and compare."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.analysis.holidays import COUNTRIES, Holidays, read_dates
from models import card
from models.cash_demand import train
from models.cash_demand.evaluate import Judged, judge, learn_and_judge, origins, spread
from models.cash_demand.features import HORIZON
from models.cash_demand.learn import LEAST_DAYS, Effort, learn, too_little
from models.cash_demand.measure import SPANS
from models.cash_demand.series import Calendar, Series, read
from models.command import SEED, among, ended
from models.data import DataError, check_outputs, write

LEAST_BACK = 28  # days before the first one ahead
MEASURES = ("smape", "mae", "mase", "wql", "coverage")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0; 1 when something cannot be used, which is said in one line; 2 for wrong usage."""
    options = _parse(arguments)
    return ended("cash_demand", options.run, options)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.cash_demand", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="train|evaluate")
    training = actions.add_parser("train", help="judge on origins inside the file, then learn from all of it and export")
    training.set_defaults(run=_train)
    training.add_argument("--out", type=Path, default=train.HERE, metavar="DIR", help="where the .onnx and its card go")
    training.add_argument("--licence", default="not stated", metavar="TEXT", help="of the data, for the card")
    judging = actions.add_parser("evaluate", help="forecast the last days of a file from the rows before them, and compare")
    judging.set_defaults(run=_evaluate)
    judging.add_argument("--model", type=Path, metavar="FILE", help="use this one instead of training on the rows before")
    judging.add_argument("--own", action="store_true", help="train on the rows before, however few they are")
    judging.add_argument("--out", type=Path, metavar="FILE", help="write the measures as JSON")
    for each, count in ((training, 3), (judging, 1)):
        each.add_argument("--data", type=Path, required=True, metavar="FILE", help="CSV: a column of dates, then one a machine")
        each.add_argument("--horizon", type=among(1, HORIZON), default=HORIZON, metavar="DAYS", help=f"1 to {HORIZON}")
        each.add_argument("--origins", type=among(0, 99), default=count, metavar="N", help="forecasts (default: %(default)s)")
        each.add_argument("--apart", type=among(1, 999), default=28, metavar="DAYS", help="between them (default: %(default)s)")
        each.add_argument("--country", default="", metavar="CODE", help=f"whose holidays: {', '.join(COUNTRIES)}")
        each.add_argument("--holidays", type=Path, metavar="FILE", help="more of them, a date a line")
        each.add_argument("--calendar-shift", type=among(-400, 400), default=0, metavar="DAYS", help="real date less the file's")
        each.add_argument("--networks", type=among(1, 8), default=Effort().networks, metavar="N", help="that are averaged")
        each.add_argument("--seed", type=SEED, default=1)
        each.add_argument("--json", action="store_true", help="one JSON object instead of tables")
        each.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the latest origin")
    return parser.parse_args(arguments)


def _open(options: argparse.Namespace) -> tuple[Series, Calendar, Holidays]:
    added = read_dates(options.holidays) if options.holidays is not None else frozenset()
    holidays = Holidays(options.country.upper(), added)
    series = read(options.data)
    if series.words:
        print(f"cash_demand: columns of words are left out: {', '.join(series.words)}", file=sys.stderr)
    if series.closed:
        days = " and ".join(series.closed)
        print(f"cash_demand: no row is of {days}: the machines are taken to be closed on them", file=sys.stderr)
    return series, Calendar.of(series, holidays, options.calendar_shift), holidays


def _train(options: argparse.Namespace) -> int:
    check_outputs(options.out / train.SHIPPED.name, options.plot)
    series, calendar, holidays = _open(options)
    if lacking := too_little(series, len(series)):
        print(f"cash_demand: {lacking}: the model that ships probably knows more", file=sys.stderr)
    effort = replace(Effort(), networks=options.networks)
    wanted = origins(len(series), options.horizon, options.origins, options.apart)
    usable = [origin for origin in wanted if origin >= LEAST_DAYS]
    with _bar("learning", (len(usable) + 1) * effort.steps + len(usable) * options.horizon) as step:
        judged = [learn_and_judge(series, calendar, each, options.horizon, effort, options.seed, step) for each in usable]
        learned = learn(series, calendar, len(series), effort, options.seed, step)
    about = train.data(series, holidays.country, options.calendar_shift, options.licence)
    path = train.write(learned, about, train.measures(judged), options.out)
    said = {"file": str(path), "bytes": path.stat().st_size, "sha256": card.sha256(path)}
    _say(options, series, judged, said)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    check_outputs(options.out, options.plot)
    series, calendar, _ = _open(options)
    wanted = origins(len(series), options.horizon, max(1, options.origins), options.apart)
    if wanted[-1] < LEAST_BACK:
        raise DataError(
            f"{series.path}: {len(series)} days leave {max(0, wanted[-1])} before the days to forecast; at least {LEAST_BACK} "
            "are needed, so give a longer file, a shorter --horizon or fewer --origins"
        )
    model = options.model
    if model is None and not options.own and (lacking := too_little(series, wanted[-1])):
        model = train.SHIPPED
        print(f"cash_demand: {lacking}, so the model that ships is used; --own trains all the same", file=sys.stderr)
    effort = replace(Effort(), networks=options.networks)
    steps = options.horizon + (effort.steps if model is None else 0)
    with _bar("forecasting", len(wanted) * steps) as step:
        if model is not None:
            run = train.open_model(model)
            judged = [judge(series, calendar, each, options.horizon, run, step) for each in wanted]
        else:
            judged = [learn_and_judge(series, calendar, each, options.horizon, effort, options.seed, step) for each in wanted]
    said = {"trained_on": str(model) if model is not None else "the rows before"}
    if options.out is not None:
        write(options.out, json.dumps(_object(judged, said), indent=1) + "\n")
    _say(options, series, judged, said)
    return 0


def _object(judged: Sequence[Judged], said: dict[str, Any]) -> dict[str, Any]:
    """The latest origin's measures, and the spread where there are several."""
    found = {name: {"mean": round(mean, 5), "deviation": round(each, 5)} for name, (mean, each) in spread(judged).items()}
    several = {"origins": [each.measures() for each in judged], "over_origins": found} if len(judged) > 1 else {}
    return {**said, **(judged[0].measures() if judged else {}), **several}


def _say(options: argparse.Namespace, series: Series, judged: Sequence[Judged], said: dict[str, Any]) -> None:
    if options.plot is not None and judged:
        from models.cash_demand.plot import forecasts

        forecasts(series, judged[0], options.plot)
    if options.json:
        print(json.dumps(_object(judged, said) if judged else said))
        return
    for name, value in said.items():
        print(f"{name.replace('_', ' ')}: {value}")
    if judged:
        _tables(series, judged)


def _tables(series: Series, judged: Sequence[Judged]) -> None:
    from datetime import timedelta

    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table(title="days ahead", title_justify="left")
    sums = Table(title="days together, quantile 95 %, from every start day", title_justify="left")
    table.add_column("first day ahead", no_wrap=True)
    sums.add_column("first start", no_wrap=True)
    for head in ("SMAPE", "MAE", "MASE", "WQL", "coverage 95 %"):
        table.add_column(head)
    for head in ("days", "spans", "coverage", "of history", "pinball", "of history", "ratio"):
        sums.add_column(head)
    for each in judged:
        day = str(series.first + timedelta(days=each.origin))
        table.add_row(day, *(f"{getattr(each.daily, name):.4f}" for name in MEASURES))
        for span in each.cumulative:
            figures = (span.coverage, span.history_coverage, span.pinball, span.history_pinball, span.ratio)
            sums.add_row(day, str(span.days), str(span.spans), *(f"{figure:.4f}" for figure in figures))
    if len(judged) > 1:
        found = spread(judged)
        table.add_row("mean", *(f"{found[name][0]:.4f}" for name in MEASURES), end_section=True)
        table.add_row("deviation", *(f"{found[name][1]:.4f}" for name in MEASURES))
        for days in (days for days in SPANS if f"coverage_{days}d" in found):
            sums.add_row(
                "mean", str(days), "", f"{found[f'coverage_{days}d'][0]:.4f}", "", "", "", f"{found[f'pinball_{days}d'][0]:.4f}"
            )
    console.print(table)
    console.print(sums)
    if judged[0].left_out:
        console.print(f"left out, as nothing is known of their last 26 weeks: {', '.join(judged[0].left_out)}")


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
