"""The pipeline as a whole: the same whatever the stream is cut into, over restarts, pauses and clocks that are set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import shipped_rules
from agent.pipeline import PAUSE, Forwarded, Pipeline, PipelineSettings
from agent.records import Alarm, Body, CashPosition, Quality, Reading, Summary
from agent.stages.calendar import Plan, Visit
from agent.stages.cash import Cassette
from agent.stages.features import parse
from agent.stages.rules import Condition
from agent.stages.score import Score, Scoring
from firmware_sim.replay import replay
from firmware_sim.world import World
from tests.agent.stages.rulebook import DISPENSER, DOOR, PRESENTS, TEMPERATURE, opened, rule

RULES = (
    rule(opened(for_=5.0), name="door", hold=20.0),
    rule(Condition(DISPENSER, is_=("noDevice",)), opened(), name="both", within=60.0),
    rule(Condition(DISPENSER, silent=90.0), name="silent"),
    rule(Condition(PRESENTS, grows=4, over=60.0), name="presents"),
    rule(Condition("machine.service", is_=("outOfService",), for_=30.0), name="service"),
)

SHIPPED = shipped_rules()


def model(features: Sequence[float]) -> Score | None:
    return Score(min(1.0, max(0.0, features[0] / 100.0)) if features[0] == features[0] else 0.0, ("warm",))


def pipeline(**fields: Any) -> Pipeline:
    scoring = Scoring("warm", (parse(f"max({TEMPERATURE},60s)"),), model, 0.5)
    chosen: dict[str, Any] = {"rules": RULES, "scorings": (scoring,), "plan": Plan(visits=(Visit(600.0, 900.0),)), **fields}
    return Pipeline(PipelineSettings("m", **chosen))


def bodies(found: Sequence[Body]) -> list[Any]:
    """Records as they travel, so that differences can be read."""
    return [msgspec.to_builtins(body) for body in found]


# Streams in the order of time; times are multiples of 1/8 s
_TIMES = st.integers(0, 8 * 1_200).map(lambda eighths: eighths / 8)
_SAID = st.one_of(
    st.tuples(st.just(DOOR), st.sampled_from(["open", "closed", "ajar", None])),
    st.tuples(st.just(DISPENSER), st.sampled_from(["online", "noDevice", None])),
    st.tuples(st.just("auxiliaries.operatorSwitch"), st.sampled_from(["run", "supervisor"])),
    st.tuples(st.just(PRESENTS), st.integers(0, 9)),
    st.tuples(st.just(TEMPERATURE), st.integers(-10, 200)),
    st.tuples(st.just("storage.unit1.count"), st.one_of(st.none(), st.integers(0, 5))),
)
_STREAM = st.lists(st.tuples(_SAID, _TIMES), max_size=60).map(lambda told: sorted(told, key=lambda item: item[1]))


def run(
    line: Pipeline, stream: Sequence[tuple[tuple[str, Any], float]], looks: Sequence[float] = (), until: float = 1_300.0
) -> list[Body]:
    """Everything that comes out; `looks` are the moments of ticks."""
    out: list[Body] = []
    pending = sorted(looks)
    for (point, value), at in stream:
        while pending and pending[0] < at:
            out += line.tick(pending.pop(0))
        out += line.feed(Reading("m", point, value, at))
    for look in (*pending, until):
        out += line.tick(look)
    return out


NOW_AND_THEN = [5.0 * number for number in range(260)]


@settings(max_examples=100)
@given(_STREAM, st.lists(_TIMES, max_size=40))
def test_speed_and_splitting_change_nothing(stream: list[tuple[tuple[str, Any], float]], looks: list[float]) -> None:
    """Somebody who looks now and then, and somebody who looks at other moments, are told the same."""
    steady = sorted({*NOW_AND_THEN[::20], 0.0})  # nobody may be away for longer than a pause
    once = run(pipeline(readings=Forwarded.ALL, cassettes={"unit1": Cassette(1_000, "EUR")}), stream, steady)
    often = run(pipeline(readings=Forwarded.ALL, cassettes={"unit1": Cassette(1_000, "EUR")}), stream, [*steady, *looks])
    assert bodies(often) == bodies(once)


class Slow(Pipeline):
    """Every Reading goes the whole way, also one that says what was said before."""

    def _way(self, point: str) -> None:
        return None


_NUMBERS = (
    rule(Condition(TEMPERATURE, above=60.0, clear=20.2), name="hot", hold=5.0),
    rule(Condition(TEMPERATURE, still=30.0), name="still"),
    rule(Condition(TEMPERATURE, silent=40.0), name="unheard"),
)
_VALUES: Mapping[str, Sequence[Any]] = {
    PRESENTS: (1, 2, 2, 2, 1.0, True),
    "transaction.count": (5, 5, 6),
    "vendorMode.service": ("inactive", "inactive", "active"),
    "auxiliaries.heating": ("on", "off", "off", "off", "bolted"),
    DISPENSER: ("online", "online", "noDevice", None),
    "cashManagement.dispenser": ("ok", "ok", "stop"),
    TEMPERATURE: (20.0, 20.1, 20.5, 21, 80.0, 200, None, True),
    "motion.rms_ms2": (0.01, 0.02, 0.03),
}


def mostly(seed: int, times: int) -> Iterator[Reading]:
    """What a machine says, the same again and again for the most part; late, doubted and silent now and then."""
    rng = Random(seed)
    points = rng.sample(sorted(_VALUES), 3)
    at = 0.0
    for _ in range(times):
        at += rng.choice((0.0, 0.1, 0.25, 0.25, 1.0, 1.0, 3.0)) if rng.random() < 0.98 else rng.choice((31.0, 100.0, 250.0))
        point, late = rng.choice(points), rng.choice((0.1, 1.0, 70.0)) if rng.random() < 0.05 else 0.0
        doubt = rng.choice(((Quality.GOOD, "odd"), (Quality.UNCERTAIN, "rate"), (Quality.BAD, "x")))
        quality, reason = doubt if rng.random() < 0.04 else (Quality.GOOD, "")
        yield Reading("m", point, rng.choice(_VALUES[point]), max(0.0, at - late), quality, reason)


@pytest.mark.parametrize("forwarded", Forwarded)
@pytest.mark.parametrize("seed", range(30))
def test_the_quick_way_ends_as_the_whole_way_does(seed: int, forwarded: Forwarded) -> None:
    rules = (*RULES, *_NUMBERS)
    chosen = PipelineSettings("m", rules=rules, cassettes={"unit1": Cassette(1_000, "EUR")}, readings=forwarded)
    quick, slow = Pipeline(chosen), Slow(chosen)
    for reading in mostly(seed, 120):
        assert bodies(quick.feed(reading)) == bodies(slow.feed(reading))
        assert quick.changed() == slow.changed()
        assert (quick.values(), quick.since()) == (slow.values(), slow.since())
    for later in (90.0, 200.0, 300.0):
        assert bodies(quick.tick(reading.at + later)) == bodies(slow.tick(reading.at + later))
    assert quick.changed() == slow.changed()


def tables(line: Pipeline) -> Mapping[str, Any]:
    """The notes, as they come back from a disk."""
    changed = msgspec.json.decode(msgspec.json.encode(line.changed()))
    return {table: {name: document for name, document in documents.items() if document} for table, documents in changed.items()}


@settings(max_examples=100)
@given(_STREAM, _TIMES)
def test_a_restart_without_a_gap_loses_no_alarm_and_raises_none_twice(
    stream: list[tuple[tuple[str, Any], float]], stop: float
) -> None:
    before = [item for item in stream if item[1] <= stop]
    after = [item for item in stream if item[1] > stop]
    first = pipeline(scorings=())
    out = run(first, before, [look for look in NOW_AND_THEN if look < stop], until=stop)
    second = pipeline(scorings=())
    out += second.restore(tables(first), stop)
    out += run(second, after, [look for look in NOW_AND_THEN if look > stop])
    is_open: set[str] = set()
    for alarm in (body for body in out if isinstance(body, Alarm)):
        assert (alarm.rule in is_open) is alarm.cleared, alarm
        (is_open.discard if alarm.cleared else is_open.add)(alarm.rule)
    ends = [body.end for body in out if isinstance(body, Summary)]
    assert all(late == early + 60.0 for early, late in pairwise(ends))


def test_windows_are_complete_and_carry_cash_and_scores() -> None:
    line = pipeline(cassettes={"unit1": Cassette(1_000, "EUR")})
    stream: list[tuple[tuple[str, Any], float]] = [(("storage.unit1.count", 7), 0.0), ((TEMPERATURE, 25.0), 1.0)]
    first, second = [body for body in run(line, stream, NOW_AND_THEN[:20], until=121.0) if isinstance(body, Summary)]
    assert first.cash == second.cash == CashPosition("EUR", 7_000, {"unit1": 7})
    assert first.scores == {"warm": 0.25}
    assert first.points["machine.cash"].last == 7_000
    assert first.points["model.warm.score"].n == 12
    assert first.points["machine.visit"].states == {"none": 60.0}


def test_what_the_pipeline_makes_itself_never_goes_silent() -> None:
    line = pipeline(cassettes={"unit1": Cassette(1_000, "EUR")})
    run(line, [(("storage.unit1.count", 7), 0.0), ((DISPENSER, "online"), 0.0)], NOW_AND_THEN)
    values = line.values()
    assert values["storage.unit1.count"] is None
    assert (values["machine.visit"], values["machine.open"]) == ("none", "true")
    assert values["machine.service"] == "unknown"
    assert values["machine.cash"] is None


@pytest.mark.parametrize(("mode", "sent"), [(Forwarded.NONE, 0), (Forwarded.CHANGES, 3), (Forwarded.ALL, 4)])
def test_what_is_sent_is_configuration(mode: Forwarded, sent: int) -> None:
    line = Pipeline(PipelineSettings("m", readings=mode))
    stream: list[tuple[tuple[str, Any], float]] = [
        ((DOOR, word), float(at)) for at, word in enumerate(("open", "open", "closed", None))
    ]
    out = run(line, stream, until=10.0)
    assert len([body for body in out if isinstance(body, Reading) and body.point == DOOR]) == sent


def test_more_cash_than_is_insured_is_an_exposure() -> None:
    line = pipeline(cassettes={"unit1": Cassette(1_000, "EUR")}, insured_limit=5_000)
    out = run(line, [(("storage.unit1.count", 5), 0.0), (("storage.unit1.count", 6), 10.0)], until=20.0)
    (alarm,) = [body for body in out if isinstance(body, Alarm) and body.rule == "overInsured"]
    assert (alarm.at, alarm.value) == (10.2, 6_000)


def test_notes_in_the_bins_are_an_exposure_too() -> None:
    line = pipeline(
        cassettes={"unit1": Cassette(1_000, "EUR")}, bins={"unitReject": 1_000, "unitBox": 1_000}, insured_limit=5_000
    )
    stream = [(("storage.unit1.count", 5), 0.0), (("storage.unitReject.count", 0), 5.0), (("storage.unitReject.count", 1), 10.0)]
    out = run(line, stream, until=20.0)
    (alarm,) = [body for body in out if isinstance(body, Alarm) and body.rule == "overInsured"]
    assert (alarm.at, alarm.value) == (10.2, 6_000), "and whatever the box holds that nobody counted"


# Time ------------------------------------------------------------------------------------------------------------------------


def test_a_suspended_process_observed_nothing_and_calls_nothing_silent() -> None:
    line = pipeline()
    out = run(line, [((DISPENSER, "online"), 0.0)], NOW_AND_THEN[:7], until=31.0)
    out += line.tick(31.0 + 10 * PAUSE)
    out += line.feed(Reading("m", DISPENSER, "online", 1_235.0))
    out += line.tick(1_260.0)
    assert [body for body in out if isinstance(body, Alarm)] == []
    summaries = [body for body in out if isinstance(body, Summary)]
    assert [(each.end, each.observed) for each in summaries] == [(60.0, round(31 / 60, 4)), (1_260.0, round(29 / 60, 4))]
    assert summaries[0].points[DISPENSER].states == {"online": 31.0}


def test_a_clock_that_is_set_back_is_noticed_and_nothing_waits_for_the_old_time() -> None:
    line = pipeline()
    start = 1_000_000.0
    run(line, [((DOOR, "closed"), start)], until=start + 30.0)
    out = line.tick(start - 3_600.0)
    out += line.feed(Reading("m", DOOR, "open", start - 3_590.0))
    out += line.tick(start - 3_500.0)
    assert [(body.at, body.rule) for body in out if isinstance(body, Alarm)] == [(start - 3_585.0, "door")]
    assert next(body.end for body in out if isinstance(body, Summary)) > start


def test_a_clock_that_is_set_forward_makes_nothing_long() -> None:
    line = pipeline()
    run(line, [((DOOR, "open"), 100.0), ((DISPENSER, "online"), 100.0)], until=101.0)
    out = line.clock_set(1.7e9)
    out += line.tick(1.7e9 + 103.0)
    assert [body for body in out if isinstance(body, Alarm)] == []
    out += line.tick(1.7e9 + 105.0)
    assert [(body.at, body.rule) for body in out if isinstance(body, Alarm)] == [(1.7e9 + 105.0, "door")]


# Models that come and go ------------------------------------------------------------------------------------------------------


def test_models_are_attached_and_taken_away() -> None:
    line = pipeline(scorings=())
    run(line, [((TEMPERATURE, 90.0), 0.0)], until=5.0)
    line.attach(Scoring("warm", (parse(f"max({TEMPERATURE},60s)"),), model, 0.5))
    out = run(line, [((TEMPERATURE, 90.0), 6.0)], until=20.0)
    assert [body.rule for body in out if isinstance(body, Alarm)] == ["model.warm"]
    (ended,) = line.detach("warm")
    assert isinstance(ended, Alarm)
    assert ended.cleared
    assert line.detach("warm") == []


def test_a_newer_model_takes_over_the_open_alarm_and_one_that_is_gone_is_forgotten() -> None:
    line = pipeline()
    run(line, [((TEMPERATURE, 90.0), 0.0)], until=20.0)
    assert line.changed()["scores m"]["warm"] is not None
    line.attach(Scoring("warm", (parse(f"max({TEMPERATURE},60s)"),), model, 0.5))
    out = run(line, [((TEMPERATURE, 90.0), 21.0)], until=40.0)
    assert [body for body in out if isinstance(body, Alarm)] == []  # it is open already
    assert len(line.detach("warm")) == 1
    assert line.changed()["scores m"] == {"warm": None}
    line.attach(Scoring("warm", (parse(f"max({TEMPERATURE},60s)"),), model, 0.5))
    out = run(line, [((TEMPERATURE, 90.0), 41.0)], until=60.0)
    assert [body.rule for body in out if isinstance(body, Alarm)] == ["model.warm"]


def test_an_open_alarm_of_a_model_waits_for_the_model_after_a_restart() -> None:
    first = pipeline()
    raised = run(first, [((TEMPERATURE, 90.0), 0.0)], until=20.0)
    assert [body.rule for body in raised if isinstance(body, Alarm)] == ["model.warm"]
    second = pipeline(scorings=())
    second.restore(tables(first), 30.0)
    second.attach(Scoring("warm", (parse(f"max({TEMPERATURE},60s)"),), model, 0.5))
    out = run(second, [((TEMPERATURE, 90.0), 31.0)], NOW_AND_THEN[7:])
    assert [(body.rule, body.cleared) for body in out if isinstance(body, Alarm)] == [("model.warm", True)]


# Rubbish ----------------------------------------------------------------------------------------------------------------------


_HOSTILE_POINT = st.one_of(
    st.text(max_size=20),
    st.sampled_from([DOOR, DISPENSER, PRESENTS, TEMPERATURE, "transaction.count", "storage.unit1.count", "motion.peak_ms2"]),
)
_HOSTILE_VALUE = st.one_of(
    st.none(), st.floats(), st.integers(), st.booleans(), st.text(max_size=5), st.just(10**400), st.sampled_from(["1", "open"])
)
_HOSTILE_TIME = st.one_of(_TIMES, st.floats(), st.sampled_from([9e10, -1.0, 1e300, float("inf"), float("nan")]))


@settings(max_examples=60)
@given(st.lists(st.tuples(_HOSTILE_POINT, _HOSTILE_VALUE, _HOSTILE_TIME), max_size=30))
def test_no_reading_stops_the_pipeline(told: list[tuple[str, Any, float]]) -> None:
    line = pipeline(readings=Forwarded.ALL, rules=(*RULES, *SHIPPED), cassettes={"unit1": Cassette(1_000, "EUR")})
    out: list[Body] = []
    for number, (point, value, at) in enumerate(told):
        out += line.feed(Reading("m", point, value, at))
        out += line.tick(1_000.0 + number)
    out += line.feed(Reading("m", DOOR, "open", 1_100.0))
    out += line.tick(1_200.0)
    for body in out:
        assert type(msgspec.json.decode(msgspec.json.encode(body), type=type(body))) is type(body)
    msgspec.json.encode(line.changed())
    assert line.values()[DOOR] == "open", "and it still listens"


@pytest.mark.parametrize("at", [float("inf"), float("nan"), 1e300, -5.0])
def test_a_reading_without_a_time_is_taken_for_one_of_now_and_doubted(at: float) -> None:
    line = pipeline(readings=Forwarded.ALL)
    assert line.feed(Reading("m", DOOR, "open", at)) == [], "nobody knows what time it is"
    line.tick(100.0)
    told = [body for body in line.feed(Reading("m", DOOR, "open", at)) if isinstance(body, Reading) and body.point == DOOR]
    assert [(each.at, each.value, each.quality, each.reason) for each in told] == [(100.0, "open", "uncertain", "noTime")]


@pytest.mark.parametrize(
    "documents", [{}, {"": {}}, {"door ": {"x": 1}}, {"unit1": {"count": "x"}}, {"warm": {}}, {"a b c": {"mean": None}}]
)
def test_notes_that_cannot_be_read_stop_nobody(documents: dict[str, Any]) -> None:
    line = pipeline()
    line.restore(dict.fromkeys(line.tables, documents), 0.0)
    assert run(line, [((DOOR, "open"), 1.0)])


# A real machine ---------------------------------------------------------------------------------------------------------------


def test_a_restart_in_the_middle_of_an_attack_tells_the_same() -> None:
    """Open alarms, windows and what is remembered go on; a restart at any moment of a black box attack tells the same alarms."""
    world = World("black_box", seed=5)
    told = [(at, values) for at, values in replay(world, 20.0, world.start + 5 * 3_600.0) if at > world.start + 4 * 3_600.0]

    def raised(stop: int | None) -> list[str]:
        line = Pipeline(PipelineSettings("m", rules=SHIPPED))
        out: list[Body] = []
        for number, (at, values) in enumerate(told):
            if number == stop:
                notes = tables(line)
                line = Pipeline(PipelineSettings("m", rules=SHIPPED))
                out += line.restore(notes, at)
            for point, value in values.items():
                out += line.feed(Reading("m", point, value, at))
        return sorted(body.rule for body in out if isinstance(body, Alarm) and not body.cleared)

    steady = raised(None)
    assert "blackBox" in steady
    for stop in range(20, len(told), 40):
        assert raised(stop) == steady, stop
