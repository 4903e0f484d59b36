"""A model file of either kind, loaded. One that has learned all it knows needs nothing of what the others learn with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from agent.scoring.session import checked, opened
from agent.scoring.unmap import unmap_code

if TYPE_CHECKING:
    from agent.scoring.learning import LearningModel
    from agent.scoring.session import LoadedModel

    AnyModel: TypeAlias = LoadedModel | LearningModel


def load_any(
    path: Path, data: bytes, sha256: str, budget: float, perf_counter: Callable[[], float], *, of_table: bool = False
) -> AnyModel:
    """Load it and check it against its card. `of_table`: its features may be columns of a table, which no pipeline makes. Raises
    ModelRefused.
    """
    session, card = opened(path, data)
    unmap_code()
    if not card.learns and of_table and card.columns:
        return checked(path, session, card, sha256, budget, perf_counter, parsed=())
    if not card.learns:
        return checked(path, session, card, sha256, budget, perf_counter)
    from agent.scoring.learning import agreed  # noqa: PLC0415  2 MB that a gateway without such a model never loads

    return agreed(path, session, card, sha256, budget, perf_counter)
