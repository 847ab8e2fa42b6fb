"""The simulation of the significance tests: it tests the offered functions, and what it finds is as it must be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import significance as simulation


def test_findings_are_written_for_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["significance.py", "--trials", "20", "--json", str(out)])
    simulation.main()
    found = json.loads(out.read_text(encoding="utf-8"))
    assert set(found["parts"]) == set(simulation.PARTS)
    assert all(part["rows"] and part["trials"] >= 1 for part in found["parts"].values())


def test_rates_over_seeds_are_those_that_theory_names() -> None:
    rows = {
        row["seeds"]: row for row in simulation.over_seeds(np.random.default_rng(3), 2000) if "normal" in row.values()
    }
    for seeds, row in rows.items():
        assert row["paired t rejects"] == pytest.approx(0.05, abs=0.02)
        assert row["t interval covers"] == pytest.approx(0.95, abs=0.02)
        # no resample leaves the data, which hold the truth unless all signs agree
        assert row["bootstrap interval covers"] <= 1 - 2 / 2**seeds + 0.02
    assert rows[3]["sign-flip rejects"] == rows[5]["Wilcoxon rejects"] == 0
    assert rows[10]["sign-flip rejects"] == pytest.approx(0.05, abs=0.02)


def test_a_simulated_test_that_is_not_the_offered_one_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation.significance, "wilcoxon_p", lambda values: 0.5)
    with pytest.raises(SystemExit, match="Wilcoxon at n = 3: the simulated test is not the offered one"):
        simulation.check(np.random.default_rng(0))
