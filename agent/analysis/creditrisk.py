"""What several machines together may lose: CreditRisk+ with one sector (Credit Suisse First Boston, 1997, appendix A).

Machine i suffers an event (an attack, a cash-out) with intensity mu_i in the horizon and loses nu_i whole units then. A gamma
factor of mean 1 and deviation sigma moves all intensities together. The total loss is compound negative binomial, or compound
Poisson when sigma is 0, and its distribution follows by Panjer's recursion (ASTIN Bulletin 12, 1981).

The recursion runs in logarithmic scale: for many machines the probability of no loss is far below what a float can hold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log, log1p

import numpy as np

RESCALE = 1e200  # a running probability beyond it is scaled down, so that nothing overflows
UNITS_LIMIT = 1_000_000  # steps of a distribution; coarser units are wanted beyond
CHUNK = 4_096  # values between two moves of the recursion's memory
TOO_FINE = "the distribution has more than a million steps; take a larger unit of loss"
TAIL = 1e-9  # probability beyond which the tail is left out


@dataclass(frozen=True, slots=True)
class Exposure:
    """One machine: events expected in the horizon, and whole units lost in each."""

    intensity: float
    units: int

    def __post_init__(self) -> None:
        if not (self.intensity >= 0 and isfinite(self.intensity)):
            raise ValueError(f"intensity: expected 0 or more events, got {self.intensity}")
        if self.units < 1:
            raise ValueError(f"units: expected at least one unit of loss, got {self.units}; take a smaller unit")


def exposure(intensity: float, loss: float, unit: float) -> Exposure:
    """A machine that loses `loss` in an event, in whole units of `unit`, at least one."""
    return Exposure(intensity, max(1, round(loss / unit)))


@dataclass(frozen=True)
class LossDistribution:
    """Probability of each total loss, in units: `probabilities[n]` of losing n. What is beyond has less than 1e-9."""

    probabilities: tuple[float, ...]
    expected: float
    variance: float

    def quantile(self, level: float) -> int:
        """The smallest loss that is not exceeded with probability `level`: the value at risk."""
        _check_level(level)
        total = 0.0
        for loss, probability in enumerate(self.probabilities):
            total += probability
            if total >= level:
                return loss
        return len(self.probabilities) - 1

    def expected_shortfall(self, level: float) -> float:
        """The mean of the worst 1 - `level` of all outcomes (Acerbi and Tasche, 2002): no part of an atom is counted twice."""
        _check_level(level)
        at_risk = self.quantile(level)
        beyond = sum(n * p for n, p in enumerate(self.probabilities) if n > at_risk)
        above = sum(self.probabilities[at_risk + 1 :])
        return (beyond + at_risk * (1.0 - level - above)) / (1.0 - level)


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected more than 0 and less than 1, got {level}")


def loss_distribution(exposures: Sequence[Exposure], sigma: float = 0.0) -> LossDistribution:
    """The distribution of the total loss. `sigma`: deviation of the common factor, 0 when machines fail independently.

    Raises ValueError when sigma is negative, or the units are so small that the distribution has more than a million steps.
    """
    if not sigma >= 0:
        raise ValueError(f"sigma: expected 0 or more, got {sigma}")
    by_units: dict[int, float] = defaultdict(float)
    for each in exposures:
        by_units[each.units] += each.intensity
    total = sum(by_units.values())
    expected = sum(intensity * units for units, intensity in by_units.items())
    variance = sum(intensity * units**2 for units, intensity in by_units.items()) + sigma**2 * expected**2
    if max(by_units, default=0) > UNITS_LIMIT:
        raise ValueError(TOO_FINE)
    shares = {units: intensity / total for units, intensity in sorted(by_units.items())} if total else {}
    return LossDistribution(tuple(_probabilities(shares, total, sigma)), expected, variance)


def _probabilities(shares: Mapping[int, float], total: float, sigma: float) -> Iterator[float]:
    """g_0, g_1 … until all but the tail is there."""
    recursion = _Panjer(shares, total, sigma)
    found, largest = 0.0, max(shares, default=0)
    beyond = 0  # steps in a row that added nothing: an atom may lie as far away as the largest loss
    for n in range(UNITS_LIMIT):
        probability = recursion.step(n)
        found += probability
        beyond = beyond + 1 if probability < TAIL * 1e-6 else 0
        yield probability
        if found > 1.0 - TAIL or (found > 0.5 and beyond > largest):
            return
    raise ValueError(TOO_FINE)


class _Panjer:
    """g_0 = (1-d)^alpha ; g_n = sum over j of (d + (alpha-1) d j/n) f_j g_{n-j}

    with alpha = 1/sigma², d = sigma² M / (1 + sigma² M), M the sum of all intensities and f_j the share of exposure j in it.
    Poisson: g_0 = e^-M ; g_n = sum over j of (M j/n) f_j g_{n-j}. Only the last max(j) values are needed, on a common scale.
    """

    def __init__(self, shares: Mapping[int, float], total: float, sigma: float) -> None:
        self._width = max(shares, default=1)
        # f_j and j f_j, the largest j first: so they lie beside the values from the oldest to the newest
        self._shares = np.array([shares.get(j, 0.0) for j in range(self._width, 0, -1)])
        self._weighted = self._shares * np.arange(self._width, 0, -1)
        self._values = np.zeros(self._width + CHUNK)  # times e^-scale; what is below `_at` is done
        self._at = self._width
        if sigma > 0.0:
            alpha = 1.0 / sigma**2
            d = total / (alpha + total)
            self._constant, self._slope = d, (alpha - 1.0) * d
            self._scale = alpha * log1p(-d)
        else:
            self._constant, self._slope = 0.0, total
            self._scale = -total

    def step(self, n: int) -> float:
        """g_n; called with 0, 1, 2 …"""
        if self._at == len(self._values):
            self._values[: self._width] = self._values[-self._width :]
            self._at = self._width
        recent = self._values[self._at - self._width : self._at]
        value = 1.0
        if n:
            value = float(self._constant * (self._shares @ recent) + self._slope / n * (self._weighted @ recent))
        self._values[self._at] = value
        self._at += 1
        probability = exp(self._scale + log(value)) if value > 0.0 else 0.0
        if value > RESCALE:
            self._values /= RESCALE
            self._scale += log(RESCALE)
        return probability


def smallest_unit(losses: Sequence[float], steps: int = 200) -> float:
    """A unit of loss with which the largest single loss has about `steps` units. Raises ValueError without a positive loss."""
    largest = max(losses, default=-inf)
    if not largest > 0:
        raise ValueError("losses: at least one must be more than 0")
    return largest / steps
