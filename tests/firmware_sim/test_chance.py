"""Noise is a function of time and nothing else; streams do not know each other."""

from __future__ import annotations

from statistics import fmean, pstdev

from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.chance import Noise, stream

seeds = st.integers(-(2**31), 2**31)
moments = st.floats(0, 4e9, allow_nan=False)


@given(seeds, st.lists(st.integers(0, 2**40), min_size=1, max_size=20), st.randoms())
def test_noise_has_no_memory(seed: int, quanta: list[int], rng: object) -> None:
    noise = Noise(seed, "a")
    first = {at: noise.normal(at) for at in quanta}
    rng.shuffle(quanta)  # type: ignore[attr-defined]
    again = Noise(seed, "a")
    assert {at: again.normal(at) for at in quanta} == first


@given(seeds, st.lists(moments, min_size=2, max_size=10))
def test_drift_does_not_depend_on_what_was_asked_before(seed: int, at: list[float]) -> None:
    used = Noise(seed, "a")
    asked = [used.drift(one, 600.0) for one in at]
    assert asked == [Noise(seed, "a").drift(one, 600.0) for one in at]


def test_noise_is_nearly_normal_and_bounded() -> None:
    noise = Noise(7, "sensor")
    values = [noise.normal(at) for at in range(20_000)]
    assert abs(fmean(values)) < 0.03
    assert abs(pstdev(values) - 1.0) < 0.03
    assert max(map(abs, values)) < 3.5
    assert 0.3 < sum(abs(one) > 1.0 for one in values) / 20_000 < 0.34  # 0.317 of a normal


def test_uniform_fills_its_range() -> None:
    noise = Noise(7, "sensor")
    values = sorted(noise.uniform(at) for at in range(10_000))
    assert 0.0 <= values[0] < 0.001
    assert 0.999 < values[-1] < 1.0
    assert abs(values[5_000] - 0.5) < 0.02


def test_channels_and_seeds_differ() -> None:
    assert len({Noise(seed, name).normal(5) for seed in range(20) for name in "abcde"}) == 100


@given(seeds, st.floats(1e9, 2e9))
def test_drift_is_smooth(seed: int, at: float) -> None:
    noise = Noise(seed, "a")
    assert abs(noise.drift(at, 600.0) - noise.drift(at + 1.0, 600.0)) < 0.05


def test_streams_are_repeatable_and_apart() -> None:
    assert stream(1, "a").random() == stream(1, "a").random()
    assert len({stream(seed, name).random() for seed in (1, 2) for name in ("a", "b")}) == 4
