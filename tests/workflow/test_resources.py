from typing import Any

from workflow.resources import resources_of

GIVEN: dict[str, Any] = {
    "threads": 1,
    "mem_mb": 500,
    "runtime": 30,
    "gpu": 1,
    "mem_mb_max": None,
    "runtime_max": 80,
    "partition": None,
    "account": None,
}


def _of_attempt(given: dict[str, Any], attempt: int) -> dict[str, Any]:
    asked = resources_of(given)
    return {key: value(None, attempt) if callable(value) else value for key, value in asked.items()}


def test_the_first_attempt_gets_what_the_config_says() -> None:
    assert _of_attempt(GIVEN, 1) == {"mem_mb": 500, "runtime": 30, "gpu": 1}


def test_later_attempts_get_more_within_the_limits() -> None:
    assert _of_attempt(GIVEN, 2) == {"mem_mb": 1000, "runtime": 60, "gpu": 1}
    assert _of_attempt(GIVEN, 3) == {"mem_mb": 1500, "runtime": 80, "gpu": 1}


def test_a_partition_and_an_account_of_their_own() -> None:
    asked = resources_of({**GIVEN, "partition": "long", "account": "vision"})
    assert (asked["slurm_partition"], asked["slurm_account"]) == ("long", "vision")


def test_a_training_on_several_nodes_has_its_gpus_on_each_of_them() -> None:
    asked = _of_attempt({**GIVEN, "nodes": 2, "gpu": 4}, 1)
    assert asked == {
        "mem_mb": 500,
        "runtime": 30,
        "nodes": 2,
        "tasks": 2,
        "mpi": "srun",
        "gres": "gpu:4",
        "tasks_per_gpu": 0,
    }
