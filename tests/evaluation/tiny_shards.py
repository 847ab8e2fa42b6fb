"""Tiny shards and run configs for the commands that need an encoder."""

import numpy as np

from glofnd.data.split import Split
from glofnd.data.writer import write_shards
from glofnd.detectors import DETECTORS
from glofnd.views import TwoViews
from tests.glofnd.pretraining.tiny_run import make_config, png, resolved

NAMES = ["red", "green", "blue", "grey"]


def write_split(root, split, samples, seed, side=32, labelled=True):
    """Noisy pictures of four colours below root/tiny/split; labels `label` and `warm`, two captions per colour."""
    generator = np.random.default_rng(seed)
    labels = [i % 4 for i in range(samples)]
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [120, 120, 120]])
    pictures = [
        png(np.clip(generator.normal(colours[k], 40, (side, side, 3)), 0, 255).astype(np.uint8)) for k in labels
    ]
    content = Split(
        payloads=pictures,
        encode=bytes,
        labels={"label": labels, "warm": [int(k == 0) for k in labels]} if labelled else {},
        classes={"label": NAMES, "warm": ["no", "yes"]} if labelled else {},
        captions=[[NAMES[k], f"something {NAMES[k]}"] for k in labels],
        channels=3,
    )
    head = {"dataset": "tiny", "split": split, "image_size": side}
    write_shards(
        content, root / "tiny" / split, shards=2, head=head, tail={"licence": "CC0", "source": {}, "config": {}}
    )


def run_config(objective, detector, modality="unimodal", seed=1, epochs=2, **options):
    """A run config as the workflow resolves it; `options` go to the detector."""
    encoder = "resnet18" if modality == "unimodal" else "open-clip"
    made = make_config(objective, detector, seed, epochs, {"lr": 0.001}, encoder)
    rule = {"label": detector, "method": detector, **resolved(DETECTORS[detector], options)}
    return {**made, "modality": modality, "views": resolved(TwoViews, {}), "detector": rule}


def baseline_config(name, **changes):
    """The run config of a baseline."""
    config = run_config("sogclr", "none", **changes)
    return {**config, "objective": {"label": "baseline"}, "detector": {"label": name}}
