"""What a call of Snakemake asks for its jobs: memory and time that grow, torchrun where processes share a training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.utils import update_config

from workflow.config import read_config
from workflow.session import Session

ROOT = Path(__file__).parents[2]
JOB = "setpriv --pdeathsig TERM python -m workflow.job --benchmark results/benchmark.json"
RUN = "glyph-captions/fastclip-v1/none/seed1"


def session(pretrain: dict[str, Any]) -> Session:
    config = read_config(ROOT / "config.yaml")
    update_config(config, {"resources": {"pretrain": pretrain}})
    return Session(SimpleNamespace(is_main_process=True, configfiles=[]), config)


def test_memory_and_time_grow_with_each_attempt_up_to_what_there_is() -> None:
    given = {"mem_mb": 1000, "mem_mb_max": 2500, "gpu": 1, "partition": "gpu"}
    asked = session(given).resources["pretrain"]["resources"]
    assert [asked["mem_mb"](None, attempt) for attempt in (1, 2, 3)] == [1000, 2000, 2500]
    assert asked["runtime"](None, 3) == 180
    assert asked["gpu"] == 1 and asked["slurm_partition"] == "gpu" and "slurm_account" not in asked


def test_one_process_trains_by_plain_python() -> None:
    assert session({}).training(JOB, RUN) == JOB


@pytest.mark.parametrize(("asked", "processes"), [({"processes": 2}, 2), ({"gpu": 4}, 4)])
def test_several_processes_train_by_torchrun(asked: dict[str, Any], processes: int) -> None:
    found = session(asked)
    command = found.training(JOB, RUN)
    assert command.startswith("setpriv --pdeathsig TERM torchrun ") and command.endswith(JOB.partition("python -m")[2])
    assert f"--nproc-per-node {processes} " in command and "--standalone" in command
    assert found.training_threads(RUN) == processes


def test_several_nodes_meet_through_srun() -> None:
    found = session({"nodes": 2, "gpu": 2})
    command, asked = (
        found.training(JOB, RUN),
        found.resources["pretrain"]["resources"],
    )
    assert (
        "srun " in command and "--nodes 2 " in command and "--nnodes 2 " in command and "--rdzv-backend c10d" in command
    )
    assert asked["nodes"] == 2 and asked["mpi"] == "srun" and asked["gres"] == "gpu:2" and "gpu" not in asked
