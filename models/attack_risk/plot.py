"""How soon attacks are found, as a picture: the share found within so many seconds, by rules alone and with the model."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from models.attack_risk.measure import TIME_SCALE, Found
from models.data import save

LEAST = 0.5  # s: where the logarithmic axis begins


def delays(found: Sequence[Found], path: Path) -> None:
    """Draw one panel an attack. Raises OSError."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    names = sorted({each.scenario for each in found})
    figure, panels = pyplot.subplots(
        2, (len(names) + 1) // 2, figsize=(12, 6.5), sharey=True, squeeze=False, layout="constrained"
    )
    for panel, name in zip(panels.flat, names, strict=False):
        of_name = [each for each in found if each.scenario == name]
        for text, colour, values in (
            ("rules", "0.45", [each.named_by_rules for each in of_name]),
            ("rules and model", "C0", [each.named for each in of_name]),
        ):
            hits = sorted(max(LEAST, value) for value in values if isfinite(value))
            shares = [number / len(values) for number in range(1, len(hits) + 1)]
            end = TIME_SCALE[of_name[0].attack]
            panel.step([LEAST, *hits, end], [0.0, *shares, shares[-1] if shares else 0.0], where="post", color=colour, label=text)
        panel.axvline(end, color="C3", linewidth=0.8, linestyle=":")
        panel.set(title=f"{name} ({len(of_name)} worlds)", xscale="log", xlim=(LEAST, end * 1.2), ylim=(-0.02, 1.04))
        panel.grid(alpha=0.3)
    for panel in panels.flat[len(names) :]:
        panel.axis("off")
    for panel in panels[-1]:
        panel.set_xlabel("s after the first evidence")
    for row in panels:
        row[0].set_ylabel("share of attacks named")
    panels[0, 0].legend(loc="lower right")
    save(figure, path)
    pyplot.close(figure)
