import sys

import numpy as np
import pytest

from benchmarks import significance as simulation


def test_every_part_prints_its_table(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["significance.py", "--trials", "2"])
    simulation.main()
    printed = capsys.readouterr().out
    assert all(name in printed for name in simulation.PARTS)


def test_rates_over_seeds_are_those_that_theory_names():
    rows = list(simulation.over_seeds(np.random.default_rng(3), 100))
    for row in (row for row in rows if row["differences"] == "normal"):
        assert row["t"] == pytest.approx(0.05, abs=0.04)
        assert row["covered"] == pytest.approx(0.95, abs=0.04)
        assert row["sign-flip"] == pytest.approx(0.05 if row["seeds"] == 10 else 0, abs=0.04)
