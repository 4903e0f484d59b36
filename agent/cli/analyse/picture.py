"""A report as a picture: the cash curve, bands of states, the alarms, the scores, over one axis of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from itertools import pairwise
from math import nan
from pathlib import Path
from typing import Any

from agent.analysis.past import Episode, Seen
from agent.analysis.report import Report
from agent.cli.analyse.money import major
from agent.errors import AgentError

RULES_SHOWN = 12  # lines of alarms that a person can still read
WORDS = ("inService", "degraded", "unknown", "outOfService")
COLOURS = {"inService": "#7fbf7f", "degraded": "#f2c94c", "unknown": "#bdbdbd", "outOfService": "#d64545", "visit": "#5b8def"}
SEVERITIES = {0: "#bdbdbd", 1: "#5b8def", 2: "#f2c94c", 3: "#f2994a", 4: "#c0392b"}
SHORTEST = 1 / 400  # of the span: what an alarm is drawn at least as long as, or nobody sees it


def draw(report: Report, path: Path) -> None:
    """Write the picture. Raises AgentError when matplotlib is missing or the file cannot be written."""
    try:
        canvas, figures, dates = (import_module(f"matplotlib.{name}") for name in ("backends.backend_agg", "figure", "dates"))
    except ImportError as error:
        raise AgentError("--plot needs matplotlib; install it with: pip install 'atm-edge-agent[plot]'") from error
    rules = _rules(report.episodes)
    heights = [3.0, 0.9, max(0.8, 0.24 * len(rules)), 1.4]
    figure = figures.Figure(figsize=(12, 1.4 + sum(heights)), layout="constrained")
    canvas.FigureCanvasAgg(figure)
    cash, states, alarms, scores = figure.subplots(4, 1, sharex=True, height_ratios=heights)
    _cash(cash, report)
    _states(states, report.windows)
    _alarms(alarms, report, rules)
    _scores(scores, report.windows)
    scores.set_xlim(_when(report.span.start), _when(report.span.end))
    locator = dates.AutoDateLocator(minticks=5, maxticks=12)
    scores.xaxis.set_major_locator(locator)
    scores.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    scores.set_xlabel("UTC")
    percent = report.availability.percent
    available = "" if percent is None else f", available {percent:.2f} %"
    figure.suptitle(f"{report.machine}: {_day(report.span.start)} to {_day(report.span.end)}{available}", fontsize=12)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        path.unlink(missing_ok=True)  # half a picture
        raise AgentError(f"{path}: {error.strerror}; name a .png in a folder that you may write to") from error


def _when(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _day(at: float) -> str:
    return _when(at).strftime("%Y-%m-%d %H:%M")


def _cash(axis: Any, report: Report) -> None:
    """What is in the cassettes; a gap where it is not known."""
    currency = report.money.currency
    times, amounts = _curve(report.windows, currency)
    axis.plot(times, amounts, drawstyle="steps-post", color="#1f4e79", linewidth=1.4, label="cash in the machine")
    for number, each in enumerate(report.replenishments):
        axis.axvline(_when(each.at), color="#5b8def", linewidth=1.0, linestyle=":", label=None if number else "replenished")
    limit = report.outlook.insured_limit
    if limit is not None:
        axis.axhline(major(limit, currency), color="#c0392b", linewidth=1.0, linestyle="--", label="insured")
    axis.set_ylim(bottom=0)
    axis.set_ylabel(currency or "cash")
    axis.grid(alpha=0.3)
    if report.money.last is None:
        axis.set_yticks([])
        axis.text(0.5, 0.5, "the cash is not known", transform=axis.transAxes, ha="center", color="0.4")
        return
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)


def _curve(windows: Sequence[Seen], currency: str) -> tuple[list[datetime], list[float]]:
    """The cash at the end of each window; what nobody observed is a gap."""
    times, amounts = [], []
    for before, each in pairwise((None, *windows)):
        assert each is not None
        if before is not None and each.start > before.end + 1.0:
            times += [_when(before.end), _when(each.start)]
            amounts += [nan, nan]
        times.append(_when(each.end))
        amounts.append(nan if each.cash is None else major(each.cash, currency))
    return times, amounts


def _states(axis: Any, windows: Sequence[Seen]) -> None:
    """One band for the service, one for visits; what a window holds of a word is drawn within it."""
    for word in WORDS:
        spans = _joined(_parts(windows, word))
        axis.broken_barh(spans, (1.1, 0.8), facecolors=COLOURS[word], label=word)
    axis.broken_barh(_joined(_visits(windows)), (0.1, 0.8), facecolors=COLOURS["visit"])
    axis.broken_barh([], (1.1, 0.8), facecolors="white", edgecolors="0.6", label="not observed")
    axis.set_yticks([0.5, 1.5], ["visits", "service"])
    axis.set_ylim(0, 2)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.1), fontsize=8, frameon=False)


def _parts(windows: Sequence[Seen], word: str) -> Iterator[tuple[float, float]]:
    for each in windows:
        lengths = {"outOfService": each.down, "degraded": each.degraded, "unknown": each.unknown}
        lengths["inService"] = max(0.0, each.observed - sum(lengths.values()))
        start = each.start + sum(lengths[before] for before in WORDS[: WORDS.index(word)])
        if lengths[word] > 0:
            yield start, start + lengths[word]


def _visits(windows: Sequence[Seen]) -> Iterator[tuple[float, float]]:
    return ((each.start, each.start + each.visited) for each in windows if each.visited)


def _joined(spans: Iterator[tuple[float, float]]) -> list[tuple[datetime, Any]]:
    """Spans that touch as one, in the form (start, length) that a band wants."""
    found: list[list[float]] = []
    for start, end in spans:
        if found and start <= found[-1][1] + 1.0:
            found[-1][1] = end
        else:
            found.append([start, end])
    return [(_when(start), _when(end) - _when(start)) for start, end in found]


def _rules(episodes: Sequence[Episode]) -> list[str]:
    """The rules that are drawn: the gravest first, then those that were raised most often."""
    weight: dict[str, tuple[int, int]] = {}
    for each in episodes:
        if each.severity > 1:
            gravest, times = weight.get(each.rule, (0, 0))
            weight[each.rule] = max(gravest, int(each.severity)), times + 1
    return sorted(weight, key=lambda rule: weight[rule], reverse=True)[:RULES_SHOWN]


def _alarms(axis: Any, report: Report, rules: Sequence[str]) -> None:
    """One line a rule, the gravest at the top."""
    least = report.span.seconds * SHORTEST
    for number, rule in enumerate(rules):
        for each in report.episodes:
            if each.rule == rule:
                start = max(each.raised, report.span.start)
                end = max(min(each.end or report.span.end, report.span.end), start + least)
                bar = (_when(start), _when(end) - _when(start))
                axis.broken_barh([bar], (len(rules) - number - 0.9, 0.8), facecolors=SEVERITIES[int(each.severity)])
    axis.set_yticks([len(rules) - number - 0.5 for number in range(len(rules))], rules, fontsize=8)
    axis.set_ylim(0, max(1, len(rules)))
    axis.grid(axis="x", alpha=0.3)
    axis.set_ylabel("alarms")
    if not rules:
        axis.text(0.5, 0.5, "no alarms of severity 2 or more", transform=axis.transAxes, ha="center", va="center", color="0.4")
    hidden = len({each.rule for each in report.episodes if each.severity > 1}) - len(rules)
    if hidden > 0:
        axis.set_title(f"and {hidden} rules more", loc="right", fontsize=8)


def _scores(axis: Any, windows: Sequence[Seen]) -> None:
    """The highest score of all models in each window."""
    scored = [(each.end, each.score) for each in windows if each.score is not None]
    if scored:
        axis.plot([_when(end) for end, _ in scored], [score for _, score in scored], color="black", linewidth=0.8)
    else:
        axis.text(0.5, 0.5, "no model is configured", transform=axis.transAxes, ha="center", va="center", color="0.4")
    axis.set_ylim(0, 1)
    axis.set_ylabel("highest score")
    axis.grid(alpha=0.3)
