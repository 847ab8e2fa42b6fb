"""A feature store made without an encoder."""

import numpy as np

from evaluation.feature_store import FeatureStore, Split, StoreWriter

RUN = {"id": "t/o/d/seed1", "experiment": "t", "objective": "o", "detector": "d", "seed": 1, "kind": "method"}


def make_split(name, samples, classes=3, seed=0, width=6, bimodal=False, labels=None):
    """Classes are blobs; the content hash is the sample's row and seed."""
    generator = np.random.default_rng(seed)
    labels = np.arange(samples) % classes if labels is None else labels
    centres = np.random.default_rng(99).normal(size=(classes, width))
    features = (centres[labels] + generator.normal(size=(samples, width))).astype(np.float32)
    extra = {}
    if bimodal:
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        text = centres.astype(np.float32)
        extra = {
            "embedding": unit,
            "text_embedding": text / np.linalg.norm(text, axis=1, keepdims=True),
            "caption_pair": np.stack([np.arange(samples), labels], axis=1),
        }
    return Split(
        name=name,
        features=features,
        index=np.arange(samples),
        labels={"label": labels, "parity": labels % 2},
        content=np.arange(samples) + 1_000_000 * seed,
        thumbnail=generator.integers(0, 256, (samples, 16, 16), dtype=np.uint8),
        **extra,
    )


def make_store(folder, splits, modality="unimodal", prompts=None):
    """Splits are written as if each came from shards of its own."""
    writer = StoreWriter(folder, {"run": RUN, "modality": modality, "source": {"checkpoint": "c0ffee"}})
    for split in splits:
        writer.add(split, shards=f"shards of {split.name}")
    for name, arrays in (prompts or {}).items():
        writer.add_prompts(name, arrays)
    writer.close({})
    return FeatureStore(folder)
