"""The smallest benchmark that has every rule: one bimodal experiment, two seeds, data that need no network."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import webdataset
from PIL import Image

WORDS = ("circle", "square", "star", "moon", "tree", "house", "fish", "bird")


def write_captioned(folder: Path, samples: int, split: str, seed: int) -> None:
    """Pictures of random colours with captions of two words, in one tar, and the names of their classes."""
    draws = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classnames.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    with webdataset.TarWriter(str(folder / f"{split}.tar"), encoder=False, mtime=0) as tar:
        for number in range(samples):
            label = number % len(WORDS)
            picture = draws.integers(0, 255, (8, 8, 3), np.uint8)
            picture[:, :, label % 3] = 30 * label
            file = io.BytesIO()
            Image.fromarray(picture).resize((32, 32), Image.Resampling.NEAREST).save(file, "PNG")
            caption = f"a {WORDS[label]} and a {WORDS[int(draws.integers(len(WORDS)))]}"
            tar.write(
                {
                    "__key__": f"{number:05d}",
                    "png": file.getvalue(),
                    "cls": str(label).encode(),
                    "txt": caption.encode(),
                    "json": json.dumps({}).encode(),
                }
            )


def config(captioned: Path) -> dict[str, Any]:
    """To be laid over configs/smoke.yaml.

    Args:
        captioned: folder of `write_captioned`.
    """
    return {
        "paths": {"raw": "raw", "shards": "shards", "results": "out"},
        "seeds": [1, 2],
        "resources": {"shard": {"threads": 2}},
        "datasets": {
            "fashion-mnist": False,
            "mnist": False,
            "emoji": False,
            # More training pictures than one process encodes alone.
            "digits": {"image_size": 32, "shards": 2},
            "captioned": {
                "dataset": "webdataset",
                "path": str(captioned),
                "train": "train.tar",
                "test": "test.tar",
                "captions_from": "txt",
                "image_size": 32,
                "shards": 2,
            },
        },
        "experiments": {
            "emoji": False,
            "fashion-mnist": False,
            "captioned": {
                "modality": "bimodal",
                "dataset": "captioned",
                "encoder": {"name": "open-clip", "model": "glofnd-test"},
                "training": {"epochs": 2, "batch_size": 32, "checkpoint_seconds": 0, "precision": "fp32"},
                "objectives": {"fastclip-v1": {"gamma_epochs": 1}},
                "detectors": {"none": {}, "glofnd": {"alpha": 0.1, "start_update": 1, "start_filter": 1}},
                "evaluations": {
                    "linear": [{"dataset": "digits", "fractions": [0.1]}],
                    "discovery": [{}],
                    "zero-shot": [{"dataset": "captioned", "split": "test", "label": "label"}],
                    "retrieval": [{"dataset": "captioned", "split": "test"}],
                },
            },
        },
        "significance": {"bootstrap": 200, "primary": ["linear", "zero-shot", "retrieval"]},
    }
