"""A training on several processes: its command, and what it asks of the machine."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.configuration import ConfigError, resolve
from workflow.jobs import Jobs
from workflow.resources import resources_of

ROOT = Path(__file__).parents[2]
RUN = "fashion-mnist/sogclr/none/seed1"


def _resolved(**pretrain: Any) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config.setdefault("resources", {})["pretrain"] = pretrain
    return resolve(config)


@pytest.mark.parametrize("pretrain", [{}, {"gpu": 1}, {"processes": 1, "gpu": 1}])
def test_one_process_needs_no_launcher(pretrain: dict[str, Any]) -> None:
    jobs = Jobs(_resolved(**pretrain))
    assert jobs.trainer(RUN) == "python -m glofnd.pretraining"
    assert jobs.training_threads(RUN) == 1


def test_one_process_per_gpu() -> None:
    jobs = Jobs(_resolved(gpu=4))
    assert jobs.trainer(RUN).startswith("torchrun --nproc-per-node 4 ")
    assert jobs.training_threads(RUN) == 4


def test_several_nodes_start_their_own_processes() -> None:
    config = _resolved(gpu=4, nodes=2)
    assert "srun --nodes 2 --ntasks 2 " in Jobs(config).trainer(RUN)
    asked = resources_of(config["resources"]["pretrain"])
    rest = {key: value for key, value in asked.items() if not callable(value)}
    assert rest == {"nodes": 2, "tasks": 2, "mpi": "srun", "gres": "gpu:4", "tasks_per_gpu": 0}


def test_several_nodes_without_gpus() -> None:
    config = _resolved(nodes=2)
    assert Jobs(config).processes == 1
    asked = resources_of(config["resources"]["pretrain"])
    assert "gpu" not in asked and "gres" not in asked and asked["nodes"] == 2


def test_a_batch_that_cannot_be_split_evenly_is_found_before_anything_starts() -> None:
    with pytest.raises(ConfigError) as refused:
        _resolved(gpu=3)
    message = "training.batch_size: 256 cannot be split evenly among the 3 processes of a training; take a multiple"
    assert any(message in problem for problem in refused.value.problems)


def test_more_processes_than_gpus_are_found_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match=r"pretrain\.processes: 4 on each node need as many GPUs, gpu is 2"):
        _resolved(gpu=2, processes=4)
    assert Jobs(_resolved(processes=4)).processes == 4


def test_only_training_has_several_nodes() -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config.setdefault("resources", {})["evaluate"] = {"nodes": 2}
    with pytest.raises(ConfigError, match=r"resources\.evaluate\.nodes: unknown key"):
        resolve(config)
