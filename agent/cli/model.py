"""`atm-agent model …`: look at a model file, prove it, ask it, put it on this gateway's shelf, go back, have it learn again."""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.span import CONFIG
from agent.cli.table import columns, encoded, rows
from agent.errors import EXIT_FAILED, EXIT_OK, AgentError, ModelRefused

if TYPE_CHECKING:
    from agent.config.settings import ModelSettings
    from agent.scoring.demand import DemandModel
    from agent.scoring.loading import AnyModel
    from agent.scoring.shelf import Row, Shelf
    from agent.stages.score import Score


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "model",
        help="look at a model, prove it, ask it, install it, go back, have it learn again",
        description="Look at a model file, prove it as the agent would, ask it, or put it on this gateway's shelf. A running "
        "agent takes what is installed or ordered within seconds; a model that it refuses changes nothing.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    inspect = _add(actions, "inspect", "print a file's card; runs nothing of it", file=True)
    verify = _add(actions, "verify", "prove a file in a child process; exit status 1 when the agent would refuse it", file=True)
    score = _add(actions, "score", "score the rows of a CSV file, with what drives each score", file=True)
    score.add_argument(
        "csv",
        type=Path,
        metavar="CSV",
        help="a column a feature, or of a model of demand dates, then a column a machine",
    )
    score.add_argument(
        "--train-rows", type=int, metavar="N", help="of a model that learns: rows to learn from (default: its card's window)"
    )
    score.add_argument("--country", default="", metavar="CODE", help="of a model of demand: whose holidays come (default: none)")
    install = _add(actions, "install", "put a file on the shelf of this gateway", file=True)
    rollback = _add(actions, "rollback", "go back to the model that was current before")
    rollback.add_argument("name", metavar="NAME", help="as in the configuration")
    listing = _add(actions, "list", "what is on the shelf of this gateway")
    commission = _add(actions, "commission", "have a model learn again what is usual at a machine")
    commission.add_argument("name", metavar="NAME", help="as in the configuration")
    commission.add_argument(
        "--machine", action="append", metavar="ID", default=[], help="may be given more than once (default: every machine)"
    )
    for each in (verify, install):
        each.add_argument("--sha256", metavar="HEX", help="the file's hash, as whoever made it told you")
        each.add_argument("--key", type=Path, action="append", metavar="PEM", default=[], help="a key that may sign models")
        each.add_argument("--budget", type=float, default=0.05, metavar="SECONDS", help="a score may take (default: %(default)s)")
    for each in (install, rollback):
        each.add_argument("--shadow", action="store_true", help="beside the current one: its scores are kept and raise nothing")
    for each in (install, rollback, listing, commission):
        each.add_argument(
            "--config", type=Path, default=CONFIG, metavar="FILE", help="the agent's configuration (default: %(default)s)"
        )
        each.add_argument("--shelf", type=Path, metavar="DIR", help="the directory of the shelf itself, instead of --config")
    for each in (inspect, verify, score, listing, commission):
        each.add_argument("--json", action="store_true", help="JSON instead of a table")


def _add(actions: Any, name: str, text: str, *, file: bool = False) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    if file:
        parser.add_argument("file", type=Path, metavar="FILE", help="the .onnx file")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run one action. Raises AgentError with one line that names the thing and the remedy."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "inspect": _inspect, "verify": _verify, "score": _score, "install": _install, "rollback": _roll_back, "list": _list,
        "commission": _commission,
    }  # fmt: skip
    return actions[args.action](args)


# Looking ----------------------------------------------------------------------------------------------------------------


def _inspect(args: argparse.Namespace) -> int:
    from agent.scoring import onnx_file, trust

    data = trust.read(args.file)
    onnx_file.check_operators(args.file, data)
    text = _card_of(args.file, data)
    card = {**_checked(args.file, data, text), "sha256": trust.sha256(data), "bytes": len(data)}
    if args.json:
        print(json.dumps(card, ensure_ascii=False))
    else:
        _table(card)
    return EXIT_OK


def _card_of(path: Path, data: bytes) -> str:
    """The card as it stands in the file. Raises ModelRefused."""
    from agent.scoring import onnx_file
    from agent.scoring.card import CARD_KEY

    found = onnx_file.metadata(path, data)
    if CARD_KEY not in found:
        raise ModelRefused(f"{path}: has no card in its metadata; export it with the project's trainer")
    return found[CARD_KEY]


def _checked(path: Path, data: bytes, text: str) -> dict[str, Any]:
    """The card, once it is one that this agent understands. Raises ModelRefused."""
    from agent.scoring.card import read_card
    from agent.scoring.demand_card import is_demand, read_demand_card

    if is_demand(text):
        read_demand_card(text, str(path))
    else:
        card = read_card(text, str(path))
        if not card.columns:
            card.parsed_features()
    content: dict[str, Any] = json.loads(text)
    return content


def _table(card: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False)
    head = Table(show_header=False, box=None)
    for key in ("name", "version", "sha256", "bytes", "threshold", "classes", "intended_use", "limits"):
        value = card.get(key)
        if value is not None:
            head.add_row(key, _shown(", ".join(map(str, value)) if isinstance(value, list) else value))
    features = Table("#", title="features", title_justify="left")
    features.add_column("feature", overflow="fold")
    for number, feature in enumerate(card["features"], 1):
        features.add_row(str(number), _shown(feature))
    measures = Table("measure", "value", "spread", "protocol", title="measures", title_justify="left")
    for name, each in _items(card.get("measures")):
        entry = dict(_items(each))
        measures.add_row(*map(_shown, (name, entry.get("value", each), entry.get("spread", ""), entry.get("protocol", ""))))
    for table in (head, features, measures):
        console.print(table)


def _items(value: Any) -> list[tuple[str, Any]]:
    """Of an object in somebody's card; none when it is something else."""
    return list(value.items()) if isinstance(value, dict) else []


def _shown(value: object) -> str:
    """A value of somebody's file, without what would command the terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value))


def _verify(args: argparse.Namespace) -> int:
    try:
        told, line = _verified(args)
    except ModelRefused as error:
        if args.json:
            print(json.dumps({"word": error.word, "message": str(error)}))
            return EXIT_FAILED
        raise
    print(json.dumps({"word": "ok", **told}) if args.json else f"{args.file}: good: {line}")
    return EXIT_OK


def _verified(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """What there is to say of a file that is good. Raises ModelRefused."""
    from agent.scoring import foretells

    if foretells(args.file):
        demand = asyncio.run(_proved_demand(args))
        told = {"id": demand.id, "sha256": demand.sha256, "levels": len(demand.card.levels)}
        return told, f"{demand.id}, {len(demand.card.levels)} quantiles, {len(demand.card.golden.history)} golden machines agree"
    model = _proved(args)
    count, rows = len(model.card.features), len(model.card.golden.scores)
    told = {"id": model.id, "sha256": model.sha256, "features": count}
    return told, f"{model.id}, {count} features, {rows} golden rows agree"


def _proved(args: argparse.Namespace) -> AnyModel:
    from agent.scoring import prove

    _check_hash(args)
    return asyncio.run(prove(args.file, args.sha256, args.budget, time.perf_counter, args.key))


def _proved_demand(args: argparse.Namespace) -> Coroutine[Any, Any, DemandModel]:
    from agent.scoring import prove_demand

    _check_hash(args)
    return prove_demand(args.file, args.sha256, args.budget, args.key)


def _check_hash(args: argparse.Namespace) -> None:
    if args.sha256 is not None and (len(args.sha256) != 64 or set(args.sha256) - set("0123456789abcdef")):
        raise AgentError(f"--sha256: expected 64 hexadecimal digits in lower case, got {args.sha256!r}")


# Asking -----------------------------------------------------------------------------------------------------------------


def _score(args: argparse.Namespace) -> int:
    from agent.scoring import foretells, prove, prove_demand, trust

    sha256 = trust.sha256(trust.read(args.file))  # whoever types the file's name vouches for it
    if foretells(args.file):
        from agent.cli.demand import foretell

        return foretell(asyncio.run(prove_demand(args.file, sha256, 60.0)), args.csv, args.country, as_json=args.json)
    model = asyncio.run(prove(args.file, sha256, 60.0, time.perf_counter, of_table=True))
    writer = None if args.json else csv.writer(sys.stdout)
    if writer is not None:
        writer.writerow(("score", "class", "drivers"))
    for score in _scores(model, args.csv, args.train_rows):
        if writer is None:
            print(json.dumps(_told(score)))
        else:
            row = (f"{score.value:.6f}", score.attack or "", " ".join(score.drivers)) if score else ("", "", "")
            writer.writerow(row)
    return EXIT_OK


def _told(score: Score | None) -> dict[str, Any]:
    if score is None:
        return {"score": None}
    return {"score": score.value, "class": score.attack, "drivers": score.drivers, "contributions": score.contributions}


def _scores(model: AnyModel, path: Path, train_rows: int | None) -> Iterator[Score | None]:
    """Of every row; None for those that were learned from. Raises AgentError."""
    from agent.scoring.session import LoadedModel

    if isinstance(model, LoadedModel):
        if train_rows is not None:
            raise AgentError(f"--train-rows: {model.card.name} has learned all it knows; leave it out")
        given = encoded(path, model.card.columns) if model.card.columns else rows(path, model.card.features)
        for number, row in given:
            score = model(row)
            if score is None:
                raise AgentError(f"{path}:{number}: the model gives no score: {model.error}")
            yield score
        return
    features = columns(path, model.card.features)
    window = model.card.window if train_rows is None else train_rows
    try:
        watch = model.watch(features, 1.0, window)
    except ValueError as error:
        raise AgentError(f"--train-rows: {error}") from error
    number = 0
    for step, (number, row) in enumerate(rows(path, features)):
        yield watch(row, float(step))
        if problem := watch.error or model.error:
            raise AgentError(f"{path}:{number}: {problem}")
    if watch.baseline is None:
        raise AgentError(f"{path}:{number}: ends within the {window} rows to learn from; set --train-rows")


# The shelf --------------------------------------------------------------------------------------------------------------


def _install(args: argparse.Namespace) -> int:
    from agent.scoring import foretells, trust

    if args.sha256 is None and not args.key:
        raise AgentError(f"{args.file}: give --sha256 or --key: somebody must vouch for a model")
    demand = foretells(args.file)
    if demand and args.shadow:
        raise AgentError(f"{args.file}: --shadow: a model that foretells has no shadow; leave it out")
    model = asyncio.run(_proved_demand(args)) if demand else _proved(args)
    data = trust.read(args.file)
    if trust.sha256(data) != model.sha256:
        raise AgentError(f"{args.file}: it changed while it was proved; try again")
    shelf = _shelf(args)
    row = shelf.install(model.card.name, model.card.version, args.file, data, shadow=args.shadow)
    _tell(shelf, model.card.name, row)
    return EXIT_OK


def _roll_back(args: argparse.Namespace) -> int:
    shelf = _shelf(args)
    _tell(shelf, args.name, shelf.roll_back(args.name, shadow=args.shadow))
    return EXIT_OK


def _list(args: argparse.Namespace) -> int:
    import msgspec

    shelf = _shelf(args)
    rows = {name: shelf.row(name) for name in shelf.names()}
    if args.json:
        print(msgspec.json.encode(rows).decode())
        return EXIT_OK
    for name, row in rows.items():
        _tell(shelf, name, row)
    if not rows:
        print("nothing is installed; the models that came with the agent are in use")
    return EXIT_OK


def _commission(args: argparse.Namespace) -> int:
    from agent import config

    machines = args.machine
    if args.shelf is None:
        settings = config.load(args.config)
        _known(f"{args.config}: models", "NAME", [args.name], [each.name for each in settings.models])
        _known(f"{args.config}: machines", "--machine", machines, [each.id for each in settings.machines])
        machines = machines or [each.id for each in settings.machines]
        _check_learns(next(each for each in settings.models if each.name == args.name))
    elif not machines:
        raise AgentError("--machine: name at least one machine, or give the configuration that names them all")
    _shelf(args).order(args.name, machines, time.time_ns())
    if args.json:
        print(json.dumps({"name": args.name, "machines": machines}))
    for machine in () if args.json else machines:
        print(f"{args.name} learns again what is usual at {machine}; model.{args.name}.learned tells how far it is")
    return EXIT_OK


def _check_learns(model: ModelSettings) -> None:
    """Nothing, when it learns at the machine. Raises AgentError."""
    from agent.rooms import came_with
    from agent.scoring import trust

    path = model.file or came_with(model.name)
    card = json.loads(_card_of(path, trust.read(path)))
    if not (isinstance(card, dict) and card.get("window")):
        raise AgentError(f"NAME: {model.name} has learned all it knows; only a model that learns at the machine is commissioned")


def _known(where: str, what: str, given: Iterable[str], known: Sequence[str]) -> None:
    for each in given:
        if each not in known:
            raise AgentError(f"{what}: {each!r} is not configured; {where} has {', '.join(known) or 'none'}")


def _shelf(args: argparse.Namespace) -> Shelf:
    from agent import config
    from agent.scoring.shelf import Shelf, shelf_of

    return Shelf(args.shelf if args.shelf is not None else shelf_of(config.load(args.config).store.path))


def _tell(shelf: Shelf, name: str, row: Row) -> None:
    current = f"{row.current.version} ({row.current.sha256[:8]})" if row.current else "the one that came with the agent"
    print(f"{name}: current {current}" + (f", shadow {row.shadow.version} ({row.shadow.sha256[:8]})" if row.shadow else ""))
    for copy in row.previous:
        print(f"{name}: before {copy.version} ({copy.sha256[:8]})")
