"""What is usual on this very machine: learned here, by numpy alone, from a commissioning window of the machine's own rows.

A row is what some features were at one step of time, NaN where a point said nothing usable. The baseline says for each of them
when in its day or week it has which value, how far its level, its spread and its unrest waver, and how all these hang together.
The exported graph `anomaly` takes it beside the row; models/anomaly/graph.py says what is done with it, `agent.scoring.watch`
how a gateway comes by it. What was there all along is not found later: commission a healthy machine.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import exp
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Arrays: TypeAlias = dict[str, NDArray[Any]]
Run: TypeAlias = Callable[[Arrays], Mapping[str, NDArray[Any]] | None]
"""The graph: inputs by name in, outputs by name out; None when it gives no answer."""

TRAITS = 3  # of each feature: level, spread (mean distance from the level), unrest (mean step between two rows)
MEMORY = 8  # rows of the state: the traits, the last value, the slowly followed traits, the share in the newest peak
LEAST_ROWS = 400
MOST_FEATURES = 32
SHORTEST_SEASON = 12  # rows; what comes back sooner is smoothed away by the traits
CYCLES = 3  # that a season must be seen
LIKENESS = 0.5  # autocorrelation at its lag
AS_GOOD = 0.95  # of the best: a shorter season that is nearly as alike is the season, the longer one a multiple
NEAR = 12  # a season is off by less than one twelfth where its first return is hidden by noise
SLACK = 2  # rows by which a season may come early or late
MISSING_SHARE = 0.5  # of the rows; a feature that is missing more often is not watched
SHRINK = 0.1  # of the correlations between traits, so that few rows do not make them up
TAIL = 0.99  # quantile of the commissioning window's own distances that the limit hangs on
STILL = 0.01  # of its value (of 1 where that is 0): how far a feature that never moved may


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the graph follows. `fast` is in rows, the others are shares of the commissioning window."""

    fast: float = 48.0
    """Rows over which level, spread and unrest are taken."""
    slow: float = 1.0
    """A machine that changes for good is usual again after about this."""
    damp: float = 1.0
    """A score that stays high tells less and less; this long it takes."""
    fade: float = 0.1
    """A peak is remembered this long."""
    limit: float = 1.5
    """Times the commissioning window's own tail: where the score is one half."""

    def rates(self, count: int) -> list[float]:
        """What the graph uses after a window of `count` rows: fast, slow and damping rates, what a peak keeps, all per row."""
        slow, damp, fade = (max(1.0, share * count) for share in (self.slow, self.damp, self.fade))
        return [1 / self.fast, 1 / slow, 1 / damp, exp(-1 / fade)]


@dataclass(frozen=True)
class Baseline:
    """Learned once, unchanged until it is learned again. P features; arrays as the graph takes them."""

    features: tuple[str, ...]
    rows: int
    """Of the commissioning window."""
    season: NDArray[np.float32]
    """[longest period, P] usual value at each step of a season."""
    period: NDArray[np.int64]
    """[P] rows of each season, 1 where there is none."""
    gain: NDArray[np.float32]
    """[3, P] one over the deviation of each trait, 0 for a feature that is not watched."""
    precision: NDArray[np.float32]
    """[3 P, 3 P] inverse correlation of the traits, all levels first."""
    pace: NDArray[np.float32]
    """[6] fast, slow and damping rates per row, what a peak keeps per row, floor and limit of the distance."""
    state: NDArray[np.float32]
    """[8, P] where the graph begins."""
    trace: NDArray[np.float32] = field(default_factory=lambda: np.zeros(2, np.float32))
    """[2] recent distance, remembered peak."""

    def inputs(self) -> Arrays:
        """What the graph takes beside the row, the step and the state."""
        return {name: getattr(self, name) for name in ("season", "period", "gain", "precision", "pace")}

    def watched(self) -> tuple[str, ...]:
        """The features that spoke often enough to be known."""
        return tuple(name for name, gain in zip(self.features, self.gain[0], strict=True) if gain > 0)

    def document(self) -> dict[str, Any]:
        """As a note of the store: a small JSON object."""
        packed = {name: pack(value) if isinstance(value, np.ndarray) else value for name, value in asdict(self).items()}
        return {**packed, "features": list(self.features)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Baseline:
        """Read what `document` gave. Raises ValueError when it is something else; then it must be learned again."""
        try:
            names = tuple(str(name) for name in document["features"])
            arrays = {one.name: unpack(document[one.name]) for one in fields(cls) if one.name not in ("features", "rows")}
            made = cls(names, int(document["rows"]), **arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no baseline ({error!r}); learn it again") from error
        if not made._fits():
            raise ValueError(f"this baseline does not fit its {len(names)} features; learn it again")
        return made

    def _fits(self) -> bool:
        points = len(self.features)
        wanted = {
            "season": (int(self.period.max(initial=1)), points),
            "period": (points,),
            "gain": (TRAITS, points),
            "precision": (TRAITS * points, TRAITS * points),
            "pace": (6,),
            "state": (MEMORY, points),
            "trace": (2,),
        }
        arrays = {name: getattr(self, name) for name in wanted}
        return self.period.min(initial=1) >= 1 and all(
            array.shape == wanted[name] and bool(np.isfinite(array).all()) for name, array in arrays.items()
        )


def pack(array: NDArray[Any]) -> list[Any]:
    """An array as JSON: its type, its shape and its bytes (little-endian) in base64."""
    return [array.dtype.newbyteorder("<").str, list(array.shape), b64encode(array.tobytes()).decode()]


def unpack(packed: Sequence[Any]) -> NDArray[Any]:
    """What `pack` gave. Raises ValueError or TypeError."""
    kind, shape, text = packed
    return np.frombuffer(b64decode(text, validate=True), np.dtype(kind)).reshape(shape).copy()


def learn(
    rows: Floats, features: Sequence[str], first: int = 0, pace: Pace | None = None, likely: Sequence[int] = ()
) -> Baseline:
    """Learn from `rows` [n, P], taken at steps `first`, `first + 1`, … `likely` are lengths of seasons worth trying first:
    the rows of a day.

    Raises ValueError when they are too few, or too many features, or none of them says anything.
    """
    count, points = rows.shape
    chosen = pace or Pace()
    if count < LEAST_ROWS:
        raise ValueError(f"{count} rows are too few to learn what is usual; give at least {LEAST_ROWS}")
    if not 1 <= points <= MOST_FEATURES:
        raise ValueError(f"{points} features; a baseline is of 1 to {MOST_FEATURES}")
    watched = np.isfinite(rows).mean(axis=0) >= 1 - MISSING_SHARE
    if not watched.any():
        raise ValueError("no feature said anything usable in half of the rows; look at its source first")
    season, period = _seasons(rows, watched, first, likely)
    steps = first + np.arange(count)
    residual = np.where(watched, rows - season[steps[:, None] % period, np.arange(points)], np.nan)
    traits, last = follow(residual, chosen.fast)
    settled = traits[round(2 * chosen.fast) :].reshape(-1, TRAITS * points)
    center = settled.mean(axis=0)
    gain = np.where(np.tile(watched, TRAITS), 1 / _deviation(settled, rows, watched), 0.0)
    normal = (settled - center) * gain
    precision = _precision(normal)
    distance = np.sqrt(np.einsum("ij,jk,ik->i", normal, precision, normal))
    floor, tail = float(distance.mean()), float(np.quantile(distance, TAIL))
    if floor == 0.0:  # nothing moved: what moves as far as it has room is at the limit
        floor = tail = 1.0
    limit = chosen.limit * tail / floor
    slow = center.reshape(TRAITS, points)
    state = np.concatenate((traits[-1], last[None], slow, np.zeros((1, points))))
    return Baseline(
        tuple(features),
        count,
        season.astype(np.float32),
        period,
        gain.reshape(TRAITS, points).astype(np.float32),
        precision.astype(np.float32),
        np.array([*chosen.rates(count), floor, limit], np.float32),
        state.astype(np.float32),
        np.array([floor, 0.0], np.float32),
    )


def follow(residual: Floats, fast: float) -> tuple[Floats, Floats]:
    """Traits [n, 3, P] along the rows, and the last usable values. A missing value changes nothing."""
    count, points = residual.shape
    rate = 1 / fast
    level, last = np.zeros(points), np.zeros(points)
    spread, unrest = _mean(np.abs(residual)), _mean(np.abs(np.diff(residual, axis=0)))
    traits = np.empty((count, TRAITS, points))
    known = np.isfinite(residual)
    filled = np.where(known, residual, 0.0)
    for row, (value, usable) in enumerate(zip(filled, known, strict=True)):
        moving = rate * usable
        level = level + moving * (value - level)
        spread = spread + moving * (np.abs(value - level) - spread)
        unrest = unrest + moving * (np.abs(value - last) - unrest)
        last = np.where(usable, value, last)
        traits[row] = level, spread, unrest
    return traits, last


def _mean(values: Floats) -> Floats:
    """Of each column, over what is usable; 0 where nothing is."""
    known = np.isfinite(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _deviation(traits: Floats, rows: Floats, watched: NDArray[np.bool_]) -> Floats:
    """How far the traits wavered; a feature that stood still gets a little room."""
    deviation = traits.std(axis=0)
    typical = np.array([np.nanmedian(column) if known else 0.0 for column, known in zip(rows.T, watched, strict=True)])
    room = np.tile(STILL * np.where(typical == 0, 1.0, np.abs(typical)), TRAITS)
    rounding = np.tile(1e-6 * np.abs(typical) + 1e-12, TRAITS)
    return np.where(deviation > rounding, deviation, room)


def _precision(normal: Floats) -> Floats:
    correlation = (1 - SHRINK) * (normal.T @ normal) / len(normal)
    return np.asarray(np.linalg.inv(correlation + SHRINK * np.eye(len(correlation))))


def _seasons(rows: Floats, watched: NDArray[np.bool_], first: int, likely: Sequence[int]) -> tuple[Floats, NDArray[np.int64]]:
    """The usual value at each step of each feature's season; a feature without one has its median."""
    points = rows.shape[1]
    profiles: list[Floats] = []
    for column, known in zip(rows.T, watched, strict=True):
        if not known:
            profiles.append(np.zeros(1))
            continue
        filled = np.where(np.isfinite(column), column, np.nanmedian(column))
        profiles.append(_profile(filled, season_length(filled, likely), first))
    period = np.array([len(profile) for profile in profiles], np.int64)
    season = np.zeros((int(period.max()), points))
    for index, profile in enumerate(profiles):
        season[: len(profile), index] = profile
    return season, period


def season_length(values: Floats, likely: Sequence[int] = ()) -> int:
    """Rows after which `values` come back, seen at least three times; 1 when they do not.

    The best of the `likely` lags whose autocorrelation is 0.5 or more; else the shortest lag behind the autocorrelation's
    first zero that is nearly its highest, under the same condition, or the one near it that the later returns agree on.
    """
    count = len(values)
    centred = values - values.mean()
    spectrum = np.fft.rfft(centred, 1 << (2 * count - 1).bit_length())
    raw = np.fft.irfft(np.abs(spectrum) ** 2)[: count // 2 + 1]
    if raw[0] <= 1e-12 * count * max(1.0, float(np.abs(values).max()) ** 2):
        return 1
    returns = raw / raw[0] * count / (count - np.arange(len(raw)))
    correlation = returns[: count // CYCLES + 1]
    alike = [(correlation[lag], lag) for lag in likely if lag < len(correlation) and correlation[lag] >= LIKENESS]
    if alike:
        return max(alike)[1]
    negative = np.flatnonzero(correlation < 0)
    start = max(SHORTEST_SEASON, int(negative[0])) if len(negative) else len(correlation)
    if start >= len(correlation):
        return 1
    tail = correlation[start:]
    if tail.max() < LIKENESS:
        return 1
    peaks = (tail >= np.roll(tail, 1)) & (tail >= np.roll(tail, -1)) & (tail >= AS_GOOD * tail.max())
    return _agreed(returns, start + int(np.argmax(peaks)))


def _agreed(correlation: Floats, lag: int) -> int:
    """The lag near `lag` whose multiples are most alike: one row too many is a whole hour off after a month."""
    near = range(lag - lag // NEAR, lag + lag // NEAR + 1)
    times = np.arange(1, (len(correlation) - 1) // near[-1] + 1)
    return max(near, key=lambda each: (float(correlation[each * times].mean()), -abs(each - lag)))


def _profile(values: Floats, length: int, first: int) -> Floats:
    """The median at each step of the season, over all its whole cycles and some rows before and after."""
    if length == 1:
        return np.array([np.median(values)])
    cycles = len(values) // length
    table = values[: cycles * length].reshape(cycles, length)
    around = np.concatenate([np.roll(table, shift, axis=1) for shift in range(-SLACK, SLACK + 1)])
    profile: Floats = np.median(around, axis=0)
    return np.roll(profile, first % length)
