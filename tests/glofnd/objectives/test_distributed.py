"""W ranks with B / W samples each equal one process with B: loss, gradients, temperatures, all per-sample state."""

from pathlib import Path

import pytest

from tests.glofnd.gloo_ranks import results_of
from tests.glofnd.objectives.distributed_worker import BATCH, RUNS, SAMPLES, STEPS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def run(request, tmp_path_factory):
    worker = Path(__file__).with_name("distributed_worker.py")
    return request.param, results_of(worker, request.param, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize(("objective", "detector", "layout"), RUNS)
def test_equals_one_process(run, objective, detector, layout):
    ranks, found = run
    case = found[0][f"{objective} {detector} {layout}"]
    assert {name for name in case["distances"] if name.startswith("gradient")} == {
        f"gradient {i}" for i in range(STEPS)
    }
    assert max(case["distances"].values()) < 1e-9, case["distances"]
    if layout == "sharded":
        assert case["rows"] <= -(-SAMPLES // ranks)


def test_bad_input_on_one_rank_stops_all_of_them(run):
    ranks, found = run
    own, others = found[-1]["refusals"][0], {one["refusals"][0] for one in found[:-1]}
    assert own == f"sample index 99 is out of range: num_samples is {SAMPLES}"
    assert others == {f"bad input on rank {ranks - 1}; its own message says what; no state was changed"}


def test_an_uneven_last_batch_is_refused_everywhere(run):
    _, found = run
    for one in found:
        assert "every rank must hold a part of the batch of equal size" in one["refusals"][1]


def test_sharded_rows_go_to_their_owners_alone(run):
    """Evenly spread, a rank is sent as many rows as its part of the batch has, however many ranks there are."""
    _, found = run
    for one in found:
        assert one["exchange"]["same"] == [True] * 6
        assert one["exchange"]["received"] == BATCH
