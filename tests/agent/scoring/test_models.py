"""The models of a running agent, with real files, real children and a real shelf: what is refused changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import onnx
import pytest

from agent.records import EventClass, Value
from agent.scoring.demand import DemandModel
from agent.scoring.drift import FEW
from agent.scoring.models import DRIFT_EVERY, Models, Wanted
from agent.scoring.shelf import INDEX, Shelf
from agent.scoring.trust import sha256
from agent.stages.score import Scoring
from tests.agent.scoring import graphs
from tests.agent.scoring.test_watch import GRAPH, NAMES, ask

NAME = "test_risk"
BUDGET = 5.0  # s; a test must not fail because another one runs


class Gateway:
    """What the application lends: pipelines to attach to, and Readings of the gateway itself."""

    def __init__(self, tmp_path: Path, **changes: object) -> None:
        self.folder = tmp_path
        self.attached: dict[str, Scoring] = {}
        self.said: dict[str, Value] = {}
        self.demand: list[DemandModel] = []
        self.shelf = Shelf(tmp_path / "shelf")
        came_with = graphs.put(tmp_path, graphs.model(), "came_with.onnx")
        self.wanted = Wanted(NAME, came_with, every=5.0, budget=BUDGET)
        self.wanted = Wanted(**{**vars(self.wanted), **changes})  # type: ignore[arg-type]
        self.models = Models(
            [self.wanted], self.shelf, self.attach, self.detach, self.said.__setitem__, time.perf_counter, self.demand.append
        )

    def attach(self, scoring: Scoring) -> None:
        self.attached[scoring.name] = scoring

    def detach(self, name: str) -> None:
        del self.attached[name]

    def install(self, version: str, *, shadow: bool = False, **changes: object) -> Path:
        data = graphs.model(text=graphs.card(version=version, **changes))
        path = graphs.put(self.folder, data, "given.onnx")
        row = self.shelf.install(NAME, version, path, data, shadow=shadow)
        copy = row.shadow if shadow else row.current
        assert copy is not None
        return self.shelf.path(NAME, copy)

    def version(self, name: str = NAME) -> str:
        return self.models.running[name].card.version


@pytest.fixture
def vouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the test count as those that came with the agent."""
    monkeypatch.setattr("agent.scoring.trust.vouched", lambda path: sha256(path.read_bytes()))


@pytest.mark.usefixtures("vouched")
async def test_what_is_installed_scores_and_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    await gateway.models.look()
    assert (gateway.version(), gateway.said[f"gateway.model.{NAME}"]) == ("1.0", "ok")
    gateway.install("1.1")
    await gateway.models.look()
    assert gateway.version() == "1.1"
    scoring = gateway.attached[NAME]
    score = scoring.model([0.5, 1.0, 3.0])
    assert score is not None
    assert score.value == pytest.approx(graphs.answer([0.5, 1.0, 3.0]), abs=1e-6)
    gateway.install("1.2", golden={"inputs": [[None, None, None]], "scores": [0.9]})
    await gateway.models.look()
    assert (gateway.version(), gateway.attached[NAME]) == ("1.1", scoring)  # the last good one goes on
    assert gateway.said[f"gateway.model.{NAME}"] == "refused"
    gateway.shelf.roll_back(NAME)
    await gateway.models.look()
    assert (gateway.version(), gateway.attached[NAME], gateway.said[f"gateway.model.{NAME}"]) == ("1.1", scoring, "ok")


def with_weights_elsewhere() -> bytes:
    made = onnx.load_model_from_string(graphs.model(text=graphs.card(version="6.6")))
    made.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    made.graph.initializer[0].external_data.add(key="location", value="../../../etc/shadow")
    return bytes(made.SerializeToString())


@pytest.mark.usefixtures("vouched")
async def test_whatever_hostile_file_is_installed_the_last_good_one_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is put on the shelf by hand, past the command that would have refused it."""
    gateway = Gateway(tmp_path)
    await gateway.models.look()
    good = gateway.attached[NAME]
    hostile = {
        "keeps weights in another file": with_weights_elsewhere(),
        "was cut short": graphs.model()[:-40],
        "answers nan where": graphs.model(graphs.saying(float("nan")), text=graphs.card(version="6.9")),
    }
    for number, (reason, data) in enumerate(hostile.items()):
        path = graphs.put(tmp_path, data, "given.onnx")
        gateway.shelf.install(NAME, f"6.{number}", path, data, shadow=False)
        caplog.clear()
        await gateway.models.look()
        (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert reason in line
        assert line.isprintable()
        assert (gateway.said[f"gateway.model.{NAME}"], gateway.attached[NAME]) == ("refused", good)


@pytest.mark.usefixtures("vouched")
async def test_after_a_restart_the_last_good_one_is_found_behind_a_damaged_file(tmp_path: Path) -> None:
    first = Gateway(tmp_path)
    first.install("1.1")
    damaged = first.install("1.2")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    gateway = Gateway(tmp_path)
    await gateway.models.look()
    assert (gateway.version(), gateway.said[f"gateway.model.{NAME}"]) == ("1.1", "refused")
    (tmp_path / "shelf" / NAME / INDEX).write_text("{")
    gateway = Gateway(tmp_path)
    await gateway.models.look()
    assert (gateway.version(), gateway.said[f"gateway.model.{NAME}"]) == ("1.0", "refused")


@pytest.mark.usefixtures("vouched")
async def test_a_shadow_runs_beside_and_raises_nothing(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.install("2.0", shadow=True)
    await gateway.models.look()
    assert (gateway.version(), gateway.version(f"{NAME}-shadow")) == ("1.0", "2.0")
    assert (gateway.attached[NAME].shadow, gateway.attached[f"{NAME}-shadow"].shadow) == (False, True)
    gateway.shelf.roll_back(NAME, shadow=True)
    await gateway.models.look()
    assert set(gateway.attached) == set(gateway.models.running) == {NAME}


async def test_without_any_good_model_the_word_is_said_and_nothing_is_attached(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, came_with=tmp_path / "none.onnx")
    await gateway.models.look()
    assert (gateway.attached, gateway.said) == ({}, {f"gateway.model.{NAME}": "missing"})


async def test_a_configured_file_is_the_only_one(tmp_path: Path) -> None:
    path = graphs.put(tmp_path, graphs.model(text=graphs.card(version="9.0")), "own.onnx")
    gateway = Gateway(tmp_path, file=path, sha256=sha256(path.read_bytes()), threshold=0.9, every=1.0)
    gateway.install("1.1")
    await gateway.models.look()
    assert (gateway.version(), gateway.attached[NAME].threshold, gateway.attached[NAME].every) == ("9.0", 0.9, 1.0)


@pytest.mark.usefixtures("vouched")
async def test_a_model_that_breaks_is_said_and_drift_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spread = {"edges": [0.0], "shares": [0.5, 0.5, 0.0]}
    data = graphs.model(text=graphs.card(histograms=[spread] * 3))
    gateway = Gateway(tmp_path, came_with=graphs.put(tmp_path, data, "drifting.onnx"))
    await gateway.models.look()
    ask: Callable[[list[float]], object] = gateway.attached[NAME].model
    for number in range(FEW * round(DRIFT_EVERY / 5.0)):
        ask([-1.0 if number // 12 % 2 else 1.0, 1.0, float("nan")])
    await gateway.models.look()
    drift = {name.rpartition(".")[2]: value for name, value in gateway.said.items() if ".drift." in name}
    assert drift["00_mean_motion_rms_ms2_60s"] == pytest.approx(0.0, abs=1e-3)
    assert min(drift["01_share_auxiliaries_cabinetDoor_60s"], drift["02_delta_cashDispenser_presents_60s"]) > 1.0  # type: ignore[type-var]
    assert ask([1.0, 2.0]) is None  # a row of another length: the runtime cannot take it
    await gateway.models.look()
    assert gateway.said[f"gateway.model.{NAME}"] == "broken"
    assert "gives no scores any more" in caplog.text


# A model of demand ----------------------------------------------------------------------------------------------------

DEMAND = Path(__file__).parents[3] / "models" / "cash_demand" / "cash_demand.onnx"


def foretelling(tmp_path: Path, **changes: Any) -> Gateway:
    gateway = Gateway(tmp_path)
    gateway.models = Models(
        [Wanted("cash_demand", DEMAND, **changes)], gateway.shelf, gateway.attach, gateway.detach, gateway.said.__setitem__,
        time.perf_counter, gateway.demand.append,
    )  # fmt: skip
    return gateway


async def test_a_model_of_demand_is_proved_like_any_other_and_scores_nothing(tmp_path: Path) -> None:
    gateway = foretelling(tmp_path)
    await gateway.models.look()
    (model,) = gateway.demand
    assert gateway.said == {"gateway.model.cash_demand": "ok"}
    assert gateway.attached == {}
    model.word, model.error = "broken", "it broke"
    await gateway.models.look()
    assert gateway.said == {"gateway.model.cash_demand": "broken"}


@pytest.mark.parametrize("wrong", [{"threshold": 0.5}, {"every": 5.0}, {"shadow": True}])
async def test_a_model_of_demand_has_no_threshold_and_no_shadow(
    tmp_path: Path, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = foretelling(tmp_path, **wrong)
    await gateway.models.look()
    assert gateway.demand == []
    assert gateway.said == {"gateway.model.cash_demand": "refused"}
    assert f"models.cash_demand: {next(iter(wrong))}: for a model that scores" in caplog.text


# Models that learn at the machine -------------------------------------------------------------------------------------


def learning(tmp_path: Path, **changes: Any) -> Gateway:
    gateway = Gateway(tmp_path)
    given = {"came_with": GRAPH, "every": 300.0, "window": 600 * 300.0, "features": NAMES, **changes}
    gateway.models = Models(
        [Wanted("anomaly", budget=BUDGET, **given)], gateway.shelf, gateway.attach, gateway.detach, gateway.said.__setitem__,
        time.perf_counter, gateway.demand.append,
    )  # fmt: skip
    return gateway


async def test_each_machine_learns_for_itself_and_is_told_to_learn_again(tmp_path: Path) -> None:
    gateway = learning(tmp_path)
    await gateway.models.look()
    assert gateway.said == {"gateway.model.anomaly": "ok"}
    scoring = gateway.attached["anomaly"]
    assert (scoring.threshold, scoring.every, scoring.event) == (0.5, 300.0, EventClass.FAULT)
    assert scoring.learner is not None
    one, other = scoring.learner("ATM-1"), scoring.learner("ATM-2")
    ask(one, 605, 0, Random(1))
    ask(other, 300, 0, Random(2))
    assert (one.learned, other.learned) == (1.0, 0.5)
    gateway.shelf.order("anomaly", ["ATM-1"], 5)
    await gateway.models.look()
    assert (one.learned, other.learned) == (0.0, 0.5)
    ask(one, 60, 605, Random(1))
    await gateway.models.look()
    assert one.learned == 0.1  # an order is obeyed once
    (tmp_path / "shelf" / "anomaly" / "commission.json").write_text("[]")
    await gateway.models.look()
    assert (one.learned, gateway.said["gateway.model.anomaly"]) == (0.1, "ok")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"window": 100 * 300.0}, "makes 100 rows of 300 s"),
        ({"window": 1e9}, "are right"),
        ({"features": tuple(f"mean(environment.temperature_c,{each}s)" for each in range(60, 93))}, "32 at most"),
    ],
)
async def test_a_configuration_that_does_not_suit_it(
    tmp_path: Path, changes: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = learning(tmp_path, **changes)
    await gateway.models.look()
    assert (gateway.attached, gateway.said) == ({}, {"gateway.model.anomaly": "refused"})
    assert reason in caplog.text


@pytest.mark.usefixtures("vouched")
async def test_features_are_for_a_model_that_learns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(tmp_path, features=NAMES)
    await gateway.models.look()
    assert (gateway.attached, gateway.said) == ({}, {f"gateway.model.{NAME}": "refused"})
    assert "this does not" in caplog.text
