"""The command `features`: one encoder over all data sets of a run, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from evaluation.embedding import class_prompts, embed_split, model_encoder, raw_pixels
from evaluation.feature_store import FeatureStore, StoreWriter, split_name
from evaluation.old_results import run_identity
from evaluation.old_tasks import ZeroShotTask
from glofnd import checkpoint
from glofnd.data.stream import ShardStream
from glofnd.encoders import build_model
from glofnd.files import sha256
from glofnd.provenance import Stopwatch, config_hash, provenance
from glofnd.run_config import parse_run_config

__all__ = ["BASELINES", "extract", "from_baseline", "from_checkpoint"]

BASELINES = ("raw-pixels", "random-init")


def from_checkpoint(path: Path) -> tuple[dict[str, Any], Any, dict[str, str]]:
    """Run config, frozen model and input checksum of a trained run."""
    state = checkpoint.read(path)
    config = checkpoint.config_of(state)
    model = build_model(config)
    model.load_state_dict(state["model"])
    return config, model, {"checkpoint": sha256(path)}


def from_baseline(name: str, run_config: str) -> tuple[dict[str, Any], Any | None, dict[str, str]]:
    """Run config, model (`None` for raw pixels) and identity of a baseline.

    Args:
        name: one of `BASELINES`.
        run_config: run config as JSON, or the path of a JSON file.

    Raises:
        ValueError: it is no run config.
    """
    config = parse_run_config(run_config)
    model = build_model(config) if name == "random-init" else None
    return config, model, {"baseline": f"{name}/{config_hash(config)}"}


def extract(
    config: dict[str, Any],
    model: Any | None,
    source: dict[str, str],
    folders: dict[tuple[str, str], Path],
    prompts: list[ZeroShotTask],
    out: Path,
    threads: int,
) -> FeatureStore:
    """Write the features of all splits and the prompts of all zero-shot tasks into `out`.

    Args:
        config: run config.
        model: from `from_checkpoint` or `from_baseline`; `None` takes raw pixels.
        source: what identifies the encoder.
        folders: shard folder per (data set, split).
        prompts: zero-shot tasks whose class prompts are wanted.
        out: folder of the store.
        threads: CPU threads.
    """
    watch = Stopwatch()
    torch.set_num_threads(threads)
    if model is not None:
        model.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last).eval()
    modality = "unimodal" if model is None else model.modality
    writer = StoreWriter(out, {"run": run_identity(config), "modality": modality, "source": source})
    text_model = model if modality == "bimodal" else None
    inputs = dict(source)
    for (dataset, split), folder in folders.items():
        stream = _open(folder, grey=model is None)
        shards = stream.manifest.sha256()
        inputs[f"{dataset}/{split}"] = shards
        encode = raw_pixels if model is None else model_encoder(model)
        writer.add(embed_split(stream, encode, dataset, split, text_model), shards)
        tasks = [task for task in prompts if (task.dataset, task.split) == (dataset, split)]
        if text_model is not None and tasks:
            parts = [class_prompts(text_model, stream, task) for task in tasks]
            writer.add_prompts(split_name(dataset, split), {k: v for part in parts for k, v in part.items()})
    device = "cpu" if model is None else str(model.mean.device)
    writer.close(provenance(config, inputs, watch, device))
    return FeatureStore(out)


def _open(folder: Path, grey: bool) -> ShardStream:
    # `grey` leaves grey pictures as one channel: three equal ones would triple the raw features and add nothing.
    probe = ShardStream(folder, batch_size=1, seed=0, cache=False, verify=False) if grey else None
    return ShardStream(folder, batch_size=1, seed=0, cache=False, channels=probe.manifest.channels if probe else 3)
