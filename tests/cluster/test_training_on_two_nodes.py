"""One training on two nodes, started by the rule and cancelled on its way, is the training of one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import Cluster, wait_until
from snakemake_call import calling

from glofnd import checkpoint
from glofnd.files import read_json
from glofnd.pretraining import pretrain

pytestmark = pytest.mark.slow
RUN = "out/runs/digits/sogclr/glofnd/seed1"

CONFIG: dict[str, Any] = {
    "paths": {"raw": "raw", "shards": "shards", "results": "out"},
    "seeds": [1],
    "significance": None,
    "resources": {
        "shard": {"mem_mb": 1500, "partition": "both"},
        "pretrain": {"nodes": 2, "mem_mb": 1500, "runtime": 10, "partition": "both"},
    },
    "datasets": {"digits": {"image_size": 8, "shards": 2}, "fashion-mnist": False, "emoji": False},
    "experiments": {
        "emoji": False,
        "fashion-mnist": False,
        "digits": {
            "modality": "unimodal",
            "dataset": "digits",
            "encoder": {"name": "resnet10", "width": 4, "stem": "strided"},
            "training": {
                "epochs": 4,
                "batch_size": 128,
                "precision": "fp32",
                "optimizer": "sgd",
                "lr": 0.001,
                "checkpoint_seconds": 0,
                "state_layout": "sharded",
            },
            "objectives": {"sogclr": {}},
            "detectors": {"glofnd": {"alpha": 0.1, "start_filter": 1}},
        },
    },
}


def test_two_nodes_equal_one_process_though_they_were_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    with calling(tmp_path, CONFIG, f"{RUN}/checkpoint.pt") as call:
        call.wait_for(f"{RUN}/resume-*.pt")
        (job,) = cluster.active("rule_pretrain_wildcards_digits")
        assert cluster.of("rule_pretrain_wildcards_digits")[0]["node"] == "n[1-2]"
        cluster.command("scancel", job)
        wait_until(lambda: len(cluster.of("rule_pretrain_wildcards_digits")) == 2, "a second attempt")
        assert call.finish() == 0, call.output[-6000:]
    metrics = read_json(tmp_path / RUN / "metrics.json")
    assert metrics["training"]["processes"] == 2
    together = checkpoint.read(tmp_path / RUN / "checkpoint.pt")
    pretrain(json.loads(together["config"]), tmp_path / "shards/digits/train", tmp_path / "alone")
    alone = checkpoint.read(tmp_path / "alone/checkpoint.pt")
    assert together["step"] == alone["step"]
    assert together["objective"].keys() == alone["objective"].keys()
    # Later on a similarity that rounding moves over its threshold sets both apart for good; tests in double precision
    # compare everything (tests/glofnd/pretraining/test_ranks.py).
    assert together["history"][0]["loss"] == pytest.approx(alone["history"][0]["loss"], abs=1e-5)
