"""One experiment, one seed, two detectors, and two evaluations of a run beside discovery."""

from typing import Any

EPOCHS, LEAVING = 40, 8
DETECTORS = ("none", "glofnd")
TRUNK = f"out/trunks/small/sogclr/seed1/epoch{LEAVING}"
ASKED = {"mem_mb": 1500, "runtime": 10, "partition": "both"}

CONFIG: dict[str, Any] = {
    "paths": {"raw": "raw", "shards": "shards", "results": "out"},
    "seeds": [1],
    "significance": None,
    "resources": dict.fromkeys(("shard", "pretrain", "features", "discovery", "evaluate"), ASKED),
    "datasets": {"digits": {"image_size": 8, "shards": 2}, "fashion-mnist": False, "emoji": False},
    "experiments": {
        "emoji": False,
        "fashion-mnist": False,
        "small": {
            "modality": "unimodal",
            "dataset": "digits",
            "encoder": {"name": "resnet10", "width": 4, "stem": "strided"},
            "training": {"epochs": EPOCHS, "batch_size": 128, "checkpoint_seconds": 0, "precision": "fp32"},
            "objectives": {"sogclr": {}},
            "detectors": {"none": {}, "glofnd": {"alpha": 0.1, "start_update": LEAVING, "start_filter": LEAVING}},
            "evaluations": {
                "linear": [{"dataset": "digits"}],
                "transfer": [{"dataset": "digits"}],
                "discovery": [{}],
            },
        },
    },
}
