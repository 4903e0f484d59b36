"""The card of a model of demand: read without the runtime, so that anybody may look at a file before it is run."""

from __future__ import annotations

import json
from datetime import date

import msgspec

from agent.errors import ModelRefused

BACK = 546  # days of the past that the graph sees
WRONG_FILE = "name the cash_demand.onnx that `python -m models.cash_demand train` wrote"


class Golden(msgspec.Struct, frozen=True):
    """Two machines' past, and the cumulative quantiles that the exporter's runtime gave for it; null is not known."""

    history: tuple[tuple[float | None, ...], ...]
    first: date
    country: str
    cumulative: tuple[tuple[tuple[float, ...], ...], ...]


class DemandCard(msgspec.Struct, frozen=True):
    """The part of the card that is acted on."""

    name: str
    version: str
    levels: tuple[float, ...]
    golden: Golden


def is_demand(card: str) -> bool:
    """Whether a card, as it stands in the file, is that of a model of demand."""
    try:
        content = json.loads(card)
    except (ValueError, RecursionError):
        return False
    golden = content.get("golden") if isinstance(content, dict) else None
    return isinstance(golden, dict) and "cumulative" in golden


def read_demand_card(text: str, path: str) -> DemandCard:
    """Decode a card. Raises ModelRefused."""
    try:
        card = msgspec.json.decode(text, type=DemandCard)
    except msgspec.DecodeError as error:
        raise ModelRefused(f"{path}: its card is not that of a model of demand ({error}); {WRONG_FILE}") from error
    if any(not 0 < len(each) <= 80 or not each.isprintable() for each in (card.name, card.version)):
        raise ModelRefused(f"{path}: its card's name and version are not 1 to 80 printable characters each")
    golden = card.golden
    fits = len(golden.history) == len(golden.cumulative) > 0 and all(len(row) == BACK for row in golden.history)
    if not fits or len(card.levels) < 2 or any(len(row) != len(card.levels) for each in golden.cumulative for row in each):
        raise ModelRefused(f"{path}: its card's golden rows do not fit its graph; {WRONG_FILE}")
    return card
