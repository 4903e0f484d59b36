"""A model's card: what it is, what it wants and what it was seen to answer. It travels inside the .onnx, as JSON metadata."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec

from agent.errors import ModelRefused
from agent.records import EventClass
from agent.stages.features import Feature, parse

CARD_KEY = "card"
MOST_ROWS = 20_000  # of a commissioning window; twenty features of it take 3 MB
TOLERANCE = 1e-4  # absolute, between a golden output and what the runtime here answers in single precision


class Golden(msgspec.Struct, frozen=True):
    """Inputs and the scores that the exporter's own runtime gave for them; null is a missing value."""

    inputs: tuple[tuple[float | None, ...], ...]
    scores: tuple[float, ...]
    first: int = 0
    """Of a model that learns: the step of the first row; the others follow it."""


class Histogram(msgspec.Struct, frozen=True):
    """How one feature was spread over the training rows.

    Bin i holds what is below edges[i] and not below the edge before; then comes what is above all, and last what is missing.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]


class Column(msgspec.Struct, frozen=True):
    """A feature that is a column of a table."""

    name: str
    words: tuple[str, ...] = ()
    """The feature is the place of the cell's word among these; without any, the cell is a number."""


class Card(msgspec.Struct, frozen=True):
    """The part of the card that the gateway acts on; the rest is for people (card.md)."""

    name: str
    version: str
    features: tuple[str, ...]
    threshold: float
    golden: Golden
    classes: tuple[str, ...] = ()
    """Names of the columns of the output `classes`; the first one means no attack."""
    histograms: tuple[Histogram, ...] = ()
    """Of each feature, for drift; none when it is not to be watched."""
    event: EventClass = EventClass.SECURITY
    """What kind of attention its alarm asks for."""
    says: str = "takes this for an attack"
    """What its alarm says of it, behind its name."""
    every: float = 5.0
    """Seconds between two scores unless the configuration says otherwise."""
    columns: tuple[Column, ...] = ()
    """Of a model of tables: what each feature is read from. No pipeline makes them."""
    window: int = 0
    """Rows of the commissioning window of a model that learns at the machine; 0 for one that has learned all it knows."""
    pace: dict[str, float] = {}
    """Of a model that learns (agent.scoring.baseline.Pace)."""
    baseline: dict[str, Any] = {}
    """Of a model that learns: the one that its golden scores belong to."""

    @property
    def learns(self) -> bool:
        """Whether its graph takes the machine's own baseline as input."""
        return self.window > 0

    def parsed_features(self) -> tuple[Feature, ...]:
        """The features that the pipeline must make. Raises ModelRefused when it cannot."""
        if self.columns:
            raise ModelRefused(
                f"the model {self.name} scores the rows of a table, whose columns no sensor gives: atm-agent model score FILE CSV"
            )
        try:
            return tuple(parse(text) for text in self.features)
        except ValueError as error:
            raise ModelRefused(f"the model {self.name} wants what this agent does not make: {error}") from error


def read_card(text: str, path: str) -> Card:
    """Decode a card. Raises ModelRefused."""
    try:
        card = msgspec.json.decode(text, type=Card)
    except msgspec.DecodeError as error:
        raise ModelRefused(
            f"{path}: its card is not one of this agent's ({error}); export it with the project's trainer"
        ) from error
    if len(card.golden.inputs) != len(card.golden.scores) or not card.golden.scores:
        raise ModelRefused(f"{path}: its card has no golden inputs with their scores; export it with the project's trainer")
    if any(len(row) != len(card.features) for row in card.golden.inputs):
        raise ModelRefused(f"{path}: its card's golden inputs do not fit its {len(card.features)} features")
    if card.columns and tuple(column.name for column in card.columns) != card.features:
        raise ModelRefused(f"{path}: its card's columns are not its features")
    if card.histograms and (len(card.histograms) != len(card.features) or any(map(_crooked, card.histograms))):
        raise ModelRefused(f"{path}: its card's histograms do not fit its {len(card.features)} features")
    if not (1.0 <= card.every <= 3_600.0 and 0 <= card.window <= MOST_ROWS):
        raise ModelRefused(f"{path}: its card wants a score every {card.every:g} s and a window of {card.window} rows")
    if not 0 < len(card.says) <= 80 or not card.says.isprintable():
        raise ModelRefused(f"{path}: its card's words for an alarm are not 1 to 80 printable characters")
    if any(not 0 < len(each) <= 80 or not each.isprintable() for each in (card.name, card.version)):
        raise ModelRefused(f"{path}: its card's name and version are not 1 to 80 printable characters each")
    if not 0.0 < card.threshold <= 1.0:
        raise ModelRefused(f"{path}: its card's threshold is {card.threshold}; a score is above 0 and at most 1")
    return card


def _crooked(histogram: Histogram) -> bool:
    edges = histogram.edges
    return len(histogram.shares) != len(edges) + 2 or any(low >= high for low, high in pairwise(edges))
