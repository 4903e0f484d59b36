"""How far a counter has come: it only grows, until it wraps or starts again."""

from __future__ import annotations

WRAPS = (2.0**16, 2.0**32)  # where the counters of small devices begin again at zero
NEAR = 0.01  # of that: a counter that fell from its last hundredth into its first has wrapped


def growth(last: float, value: float) -> float:
    """What was counted between two values. A smaller value has wrapped, or is what was counted since the device started anew."""
    if value >= last:
        return value - last
    for wrap in WRAPS:
        if (1.0 - NEAR) * wrap <= last < wrap and value <= NEAR * wrap:
            return value + wrap - last
    return value
