"""benchmarks/objectives.py; the contenders themselves are raced by hand."""

import glofnd
from benchmarks.contenders import bimodal, unimodal
from benchmarks.objectives import OURS, race


def test_contenders_take_turns():
    calls = []
    times = race({name: lambda name=name: calls.append(name) for name in "ab"}, 0, 3)
    assert calls == ["a", "b"] * 4 and times.keys() == {"a", "b"}


def test_the_contenders_run():
    for kind, contenders in (("unimodal", unimodal), ("bimodal", bimodal)):
        times = race(contenders(16, 8, {"": glofnd}), 0, 1)
        assert times[OURS[kind]]["cpu_ms"] > 0 and len(times) == 6
