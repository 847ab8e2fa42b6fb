"""The machinery of benchmarks/objectives.py; the contenders themselves are raced by hand."""

import pytest

from benchmarks import race as module
from benchmarks.race import race
from benchmarks.targets import judge

STEP, MEMORY = {"added_share": 0.001}, {"batch": 16384, "dim": 256, "extra_mb": 250.0}


def test_contenders_take_turns(monkeypatch):
    calls = []
    timings = race({name: lambda name=name: calls.append(name) for name in "ab"}, 0, 3)
    assert calls == ["a", "b"] * 4 and [timing["calls"] for timing in timings.values()] == [3, 3]
    assert all(0 <= timing["smallest_ms"] <= timing["median_ms"] for timing in timings.values())
    monkeypatch.setattr(module, "_SLOW_SECONDS", -1.0)
    assert race({"slow": lambda: None}, 0.01, 5)["slow"]["calls"] == 3


def row(batch, **median):
    timings = {name: {"median_ms": value} for name, value in median.items()}
    return {"modality": "unimodal", "batch": batch, "dim": 128, "threads": 1, "floor": {"median_ms": 10.0}, **timings}


@pytest.mark.parametrize(("batch", "ours", "floor_met"), [(1024, 14.0, True), (1024, 16.0, False), (2048, 14.0, False)])
def test_targets(batch, ours, floor_met):
    names = {"sogclr+glofnd": ours, "sogclr": 13.0, "lightly NT-Xent": 30.0, "naive sogclr+glofnd": 80.0}
    found = {target.what: target for target in judge([row(batch, **names)], STEP, MEMORY)}
    assert found["sogclr+glofnd / floor"].met == floor_met
    assert found["lightly NT-Xent / sogclr+glofnd"].met == (ours <= 15)
    assert found["naive sogclr+glofnd / sogclr+glofnd"].met == (ours * 6 <= 80)
    assert found["sogclr+glofnd / sogclr"].met == (ours <= 14.3)
    assert found["share that GloFND adds"].met and found["peak extra memory in MB"].met
    assert str(found["sogclr+glofnd / floor"]).startswith("met" if floor_met else "MISSED")


def test_small_batches_have_no_floor():
    names = {"sogclr+glofnd": 1.0, "sogclr": 1.0, "lightly NT-Xent": 3.0, "naive sogclr+glofnd": 8.0}
    assert not any("floor" in target.what for target in judge([row(128, **names)], STEP, MEMORY))
